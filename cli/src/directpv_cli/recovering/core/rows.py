"""One row of a plan per object: what becomes of it, and why."""

from enum import StrEnum
from typing import Any, NamedTuple


class Action(StrEnum):
    """What becomes of an object."""

    ADOPT = "adopt"
    """A drive becomes that of the node in which its disk is."""
    CREATE = "create"
    REPLACE = "replace"
    """A PersistentVolume is made anew with the node where its drive is now."""
    FINISH = "finish"
    """An earlier recovery was cut short before the reclaim policy was as remembered."""
    EXISTS = "exists"
    LEFT = "left"
    """A drive that was given up, and that people did not name; a volume that was deleted."""
    CONFLICT = "conflict"
    """Nothing is done; the detail says why, and what would help."""


CHANGES = frozenset({Action.ADOPT, Action.CREATE, Action.REPLACE, Action.FINISH})


class Row(NamedTuple):
    """What becomes of one object."""

    kind: str
    name: str
    """With its namespace, if it has one."""
    action: Action
    detail: str = ""

    def document(self) -> dict[str, Any]:
        """Return the row for programs."""
        return {"kind": self.kind, "name": self.name, "action": self.action.value, "detail": self.detail}
