"""What can be done from the console: one table, of what each does, to what, and what must be typed before."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import directpv_common.protocol.messages as m
from directpv_common.protocol.messages import Wipe

Table = tuple[Sequence[str], Sequence[Sequence[str]]]
"""Titles, and rows of cells."""


class Noun(StrEnum):
    """What is acted on."""

    DRIVE = "drive"
    VOLUME = "volume"
    NODE = "node"
    DEVICE = "device"


class Action(StrEnum):
    """What is done; the words are the plugin's verbs."""

    CORDON = "cordon"
    UNCORDON = "uncordon"
    LABEL_DRIVES = "label drives"
    LABEL_VOLUMES = "label volumes"
    SUSPEND_DRIVES = "suspend drives"
    RESUME_DRIVES = "resume drives"
    SUSPEND_VOLUMES = "suspend volumes"
    RESUME_VOLUMES = "resume volumes"
    LOCATE = "locate"
    LOCATE_OFF = "locate --off"
    CHECK = "repair --dry-run"
    REPAIR = "repair"
    REMOVE = "remove"
    REMOVE_LOST = "remove --lost"
    REMOVE_NODE = "remove node"
    EVACUATE = "evacuate"
    MOVE = "move"
    CANCEL_MOVE = "move --cancel"
    CLEAN = "clean"
    RECOVER = "recover"
    INIT = "init"


@dataclass(frozen=True)
class What:
    """One action."""

    noun: Noun
    title: str
    """On its button."""
    does: str
    """A sentence for the plan."""
    typed: bool = False
    """Whether the name of what it is done to must be typed: data is lost, or pods find none."""
    planned: bool = True
    """Whether the verb itself says beforehand what it would do."""
    single: bool = False
    """Whether it is done to one thing at a time."""


ACTIONS: Final[Mapping[Action, What]] = {
    Action.CORDON: What(Noun.DRIVE, "Cordon", "The drives take no new volumes; what is on them is served as before."),
    Action.UNCORDON: What(Noun.DRIVE, "Uncordon", "The drives take new volumes again."),
    Action.LABEL_DRIVES: What(Noun.DRIVE, "Label", "Labels are set or removed; storage classes choose drives by them."),
    Action.LABEL_VOLUMES: What(Noun.VOLUME, "Label", "Labels are set or removed."),
    Action.SUSPEND_DRIVES: What(
        Noun.DRIVE,
        "Suspend",
        "Pods that start from then on find empty read-only directories for their data, until the drives are resumed. "
        "Data and running pods are not touched.",
        typed=True,
    ),
    Action.RESUME_DRIVES: What(Noun.DRIVE, "Resume", "Pods that start from then on find their data again."),
    Action.SUSPEND_VOLUMES: What(
        Noun.VOLUME,
        "Suspend",
        "Pods that start from then on find empty read-only directories for their data, until the volumes are resumed. "
        "Data and running pods are not touched.",
        typed=True,
    ),
    Action.RESUME_VOLUMES: What(Noun.VOLUME, "Resume", "Pods that start from then on find their data again."),
    Action.LOCATE: What(
        Noun.DRIVE,
        "Locate",
        "The locate lights of the bays are lit, where the enclosure has them, until they are put out again.",
    ),
    Action.LOCATE_OFF: What(Noun.DRIVE, "Light off", "The locate lights of the bays are put out."),
    Action.CHECK: What(
        Noun.DRIVE,
        "Check",
        "xfs_repair -n looks for damage and changes nothing. The drive is unmounted meanwhile: one whose volumes are "
        "in use is refused.",
        planned=False,
    ),
    Action.REPAIR: What(
        Noun.DRIVE,
        "Repair",
        "xfs_repair mends the file system. The drive is unmounted meanwhile: one whose volumes are in use is refused.",
        planned=False,
    ),
    Action.REMOVE: What(
        Noun.DRIVE,
        "Remove",
        "The drives are given up: unmounted, and nobody's. One with volumes is refused.",
    ),
    Action.REMOVE_LOST: What(
        Noun.DRIVE,
        "Remove with its volumes",
        "The drives are dead: they are given up with all volumes on them, whose data is lost for good.",
        typed=True,
    ),
    Action.REMOVE_NODE: What(
        Noun.NODE,
        "Remove the node",
        "The node is gone for good: all its drives are given up with all volumes on them, whose data is lost for good.",
        typed=True,
        single=True,
    ),
    Action.EVACUATE: What(
        Noun.DRIVE,
        "Move all volumes away",
        "The drive is cordoned, and its volumes are copied to other drives of the node while pods write. The last pass "
        "of each needs its pod restarted.",
        single=True,
    ),
    Action.MOVE: What(
        Noun.VOLUME,
        "Move",
        "The volume is copied to another drive of its node while its pod writes. The last pass needs its pod to "
        "restart.",
        single=True,
    ),
    Action.CANCEL_MOVE: What(
        Noun.VOLUME, "Cancel the move", "The volume stays where it is; the copy is removed.", planned=False, single=True
    ),
    Action.CLEAN: What(
        Noun.VOLUME,
        "Clean",
        "Volumes that nobody has any more are deleted, with their data: those without PersistentVolume, and those "
        "whose claim is gone. What is used, or may be, is kept.",
        typed=True,
    ),
    Action.RECOVER: What(
        Noun.NODE,
        "Recover",
        "Drives on the node's disks that say that they are another node's become this node's, with their volumes; in "
        "Kubernetes, PersistentVolumes and claims that are missing are made again. Nothing that exists is overwritten.",
        single=True,
    ),
    Action.INIT: What(
        Noun.DEVICE,
        "Initialise",
        "The devices are formatted: everything on them is lost. Each becomes a drive.",
        typed=True,
        planned=False,
    ),
}
"""All of them."""
MOST: Final = 1000
"""Things that are acted on at a time."""
LONGEST: Final = 20_000
"""Letters of labels: more than an object of Kubernetes should have."""


@dataclass(frozen=True)
class Options:
    """What is chosen beside the targets."""

    labels: str = ""
    """As the verb takes them, with spaces between."""
    wipe: Wipe = Wipe.NONE
    force: bool = False
    """Throw a log away that cannot be replayed: what was written last is lost."""
    target: str = ""
    """Drive to move to; empty: the controller chooses."""
    source: str = ""
    """Drive to move from."""
    devices: tuple[tuple[str, m.Device], ...] = ()
    """Node and device, as they were found."""


@dataclass(frozen=True)
class Asked:
    """What somebody asks for."""

    action: Action
    targets: tuple[str, ...]
    """Ids of drives, names of volumes, a node, or keys of devices."""
    titles: tuple[str, ...]
    """What people call them."""
    options: Options = field(default_factory=Options)
    name: str = ""
    """What people type who mean it, if it is one thing; empty: its title."""

    @property
    def what(self) -> What:
        """The action."""
        return ACTIONS[self.action]

    @property
    def typed(self) -> bool:
        """Whether something must be typed: also where an option makes the action lose data."""
        return self.what.typed or self.options.force or self.options.wipe is not Wipe.NONE

    @property
    def word(self) -> str:
        """What must be typed; empty: nothing."""
        if not self.typed:
            return ""
        if len(self.titles) == 1:
            return self.name or self.titles[0]
        return f"{len(self.titles)} {self.what.noun}s"

    @property
    def title(self) -> str:
        """For the headline, for instance ``Cordon node-1/sda``."""
        about = self.titles[0] if len(self.titles) == 1 else f"{len(self.titles)} {self.what.noun}s"
        return f"{self.what.title}: {about}"


def read(fields: Sequence[tuple[str, str]]) -> tuple[Action, tuple[str, ...], Options]:
    """Read a form.

    Raises:
        ValueError: It asks for nothing that there is; names the field, and what to do.
    """
    values = dict(fields)
    try:
        action = Action(values.get("action", ""))
    except ValueError:
        raise ValueError("action: there is no such action") from None
    targets = tuple(dict.fromkeys(value for key, value in fields if key == "target" and value))
    if not targets:
        raise ValueError(f"target: choose at least one {ACTIONS[action].noun}")
    if len(targets) > (1 if ACTIONS[action].single else MOST):
        raise ValueError(f"target: choose {1 if ACTIONS[action].single else MOST} at most")
    wipe = values.get("wipe", Wipe.NONE.value) if action is Action.REMOVE else Wipe.NONE.value
    if wipe not in [each.value for each in Wipe]:
        raise ValueError(f"wipe: {wipe!r} is none of {', '.join(Wipe)}")
    labels = values.get("labels", "").strip()
    if action in (Action.LABEL_DRIVES, Action.LABEL_VOLUMES) and not labels:
        raise ValueError("labels: write KEY=VALUE to set one, KEY- to remove one")
    if len(labels) > LONGEST:
        raise ValueError(f"labels: {len(labels)} letters; write {LONGEST} at most")
    force = action is Action.REPAIR and "force" in values
    target = values.get("to", "") if action is Action.MOVE else ""
    return action, targets, Options(labels, Wipe(wipe), force, target)


@dataclass
class Plan:
    """What would be done, until somebody says that it shall be."""

    asked: Asked
    said: Sequence[tuple[str, bool]]
    """Lines of the verb, and whether each tells of a trouble."""
    made: float
    """Seconds of the console's clock."""
    possible: bool = True
    """Whether the verb would do it."""
    tables: Sequence[Table] = ()
    """What the verb shows of its plan."""
    id: str = ""
    spent: bool = False
    instead: bool = False
    """Whether it was made because another one that somebody confirmed would do something else by now."""
    later: str = ""
    """Id of the plan that was made instead of this one."""

    def is_like(self, other: "Plan") -> bool:
        """Tell whether the same would be done, as far as the verb says."""
        return (self.said, self.tables, self.possible) == (other.said, other.tables, other.possible)

    def refusal(self, typed: str, now: float, lasts: float) -> str:
        """Return why it is not carried out; empty: it is."""
        if self.later:
            return "what would be done has changed: there is a newer plan; nothing was done"
        if self.spent:
            return "this plan was carried out already; see Work"
        if now - self.made > lasts:
            return "this plan is old: make a new one"
        if not self.possible:
            return "this cannot be done; see above"
        if typed.strip() != self.asked.word:
            return f"type {self.asked.word} to confirm that its data may be lost"
        return ""
