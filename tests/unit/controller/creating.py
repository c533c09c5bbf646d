"""One volume more, or none."""

from typing import Any

from directpv_controller.core.placing.wanted import wanted_from
from directpv_controller.core.reserving.ledger import Ledger
from unit.controller.builders import GIB, NOW, request


def create(ledger: Ledger, name: str = "v1", required: int = GIB, **asked: Any) -> Any:
    return ledger.place(wanted_from(request(name, required, **asked)), now=NOW)


def free(ledger: Ledger) -> int:
    return sum(drive.free for drive in ledger.drives.values())
