"""What a node reports, taken in and committed."""

import msgspec

import directpv_common.protocol.messages as m
from directpv_controller.core.reserving.ledger import Ledger
from directpv_controller.core.taking_in.outcome import Outcome
from directpv_controller.core.taking_in.reconcile import change_of, take_in

BOOT = "boot-1"


replace = msgspec.structs.replace


def report(ledger: Ledger, drive: m.HeldDrive, node: str = "n1", boot: str = BOOT) -> Outcome:
    """Take the inventory in, commit, and check the invariants."""
    outcome = take_in(ledger, node, boot, drive)
    change = change_of(ledger, [outcome])
    if change is not None:
        change.done()
    assert not ledger.busy
    return outcome


def told(outcome: Outcome) -> list[str]:
    return [f"{event.noun}.{event.kind}" for event in outcome.events]
