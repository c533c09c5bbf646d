"""Inventories in parts: what was told of a drive so far, and what to ask for next."""

from typing import Any, NamedTuple

from directpv_common.protocol.messages import HeldDrive, Inventory
from directpv_controller.core.placing.model import UNKNOWN


class Pages:
    """What was seen on a drive whose inventory comes in several parts."""

    def __init__(self) -> None:
        self.generation = UNKNOWN
        self.present: set[str] = set()
        self.strays = 0
        self.contested: dict[str, str] = {}
        """Volumes that the registry does not have there, each with the drive where it has them."""
        self.found: dict[tuple[str, str, str], dict[str, Any]] = {}
        """What was found that people must look at; see :mod:`~directpv_controller.core.taking_in.told`."""

    def begin(self, held: HeldDrive) -> None:
        """Take note of a part; the first one tells the generation."""
        if self.generation == UNKNOWN:
            self.generation = held.generation
        self.present.update(held.purging)

    def is_whole(self, held: HeldDrive) -> bool:
        """Tell whether this part is the last one, and the drive stayed as it was while they were read."""
        return not held.more and held.generation == self.generation


class Asked(NamedTuple):
    """What is asked of a node: drives, and of the first only volumes whose names come after one."""

    drives: tuple[str, ...]
    after: str = ""

    def is_further(self, before: "Asked") -> bool:
        """Tell whether asking ends: fewer drives are left than before, or less of the same first one.

        Drives are told in the order in which they were asked for; their ids have none.
        """
        if len(self.drives) != len(before.drives):
            return len(self.drives) < len(before.drives)
        return self.drives[:1] == before.drives[:1] and self.after > before.after


def following(inventory: Inventory) -> Asked:
    """Return what an answer leaves to be asked for; no drives: nothing."""
    unfinished = [held for held in inventory.drives if held.more]
    drives = (*(held.record.fsuuid for held in unfinished), *inventory.left)
    return Asked(drives, unfinished[0].more if unfinished else "")
