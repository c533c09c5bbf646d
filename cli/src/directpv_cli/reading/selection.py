"""Which drives and volumes a command means: its flags become one request of the API.

Pure; flags that mean nothing, or that cannot be understood, are a ValueError that says how to write them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import directpv_common.protocol.messages as m
from directpv_cli.reading.words import Words, device_names, drive_words, expanded, label_pairs, states

SHOWN_UNASKED = (m.VolumeStatus.READY, m.VolumeStatus.BOUND, m.VolumeStatus.DELETING)
UNASKED_DRIVES = m.ListDrives(statuses=(m.DriveStatus.READY,))
UNASKED_VOLUMES = m.ListVolumes(statuses=SHOWN_UNASKED)


def drive_selection(
    nodes: Words,
    devices: Words,
    statuses: Words,
    labels: Words,
    ids: Words,
    *,
    everything: bool,
    required: bool = False,
) -> m.ListDrives:
    """Return the filters; no selector means Ready drives, or an error if one is ``required``.

    ``everything`` stands for want of selectors: beside others it selects nothing more. (Upstream's clears them.)
    """
    selection = m.ListDrives(
        nodes=expanded(nodes),
        devices=device_names(devices),
        statuses=states(statuses, m.DriveStatus, "--status"),
        labels=label_pairs(labels),
        ids=drive_words(ids),
    )
    if everything or selection != m.ListDrives():
        return selection
    if required:
        raise ValueError("select drives: give ids, --nodes, --drives, --status, or --all")
    return UNASKED_DRIVES


def volume_selection(
    nodes: Words,
    devices: Words,
    drives: Words,
    statuses: Words,
    labels: Words,
    ids: Words,
    *,
    everything: bool,
    required: bool | None = None,
    wanted: str = "--ids, --nodes, --drives, --drive-id, --pod-names, --status, or --all",
) -> m.ListVolumes:
    """Return the filters.

    No selector is an error if one is ``required``, all volumes if that is False (something else selects then), and
    those that are staged or published if it is None. ``wanted`` names the selectors there are. ``everything`` as with
    :func:`drive_selection`.
    """
    selection = m.ListVolumes(
        nodes=expanded(nodes),
        devices=device_names(devices),
        drives=drive_words(drives),
        statuses=states(statuses, m.VolumeStatus, "--status"),
        labels=label_pairs(labels),
        names=tuple(ids or ()),
    )
    if everything or selection != m.ListVolumes():
        return selection
    if required:
        raise ValueError(f"select volumes: give {wanted}")
    return UNASKED_VOLUMES if required is None else m.ListVolumes()


def some_drives(nodes: Words, devices: Words, ids: Words) -> m.ListDrives:
    """Return the filters of a command that wants to be told which drives.

    Raises:
        ValueError: No selector.
    """
    selection = m.ListDrives(nodes=expanded(nodes), devices=device_names(devices), ids=drive_words(ids))
    if selection == m.ListDrives():
        raise ValueError("select drives: give ids, --nodes, or --drives")
    return selection


def some_volumes(nodes: Words, devices: Words, ids: Words, *pods: Words) -> m.ListVolumes:
    """Return the filters of a command that wants to be told which volumes.

    Pods are not among the filters: whoever lists the volumes looks at theirs.

    Raises:
        ValueError: No selector, nor ``pods``.
    """
    selection = m.ListVolumes(
        nodes=expanded(nodes), devices=device_names(devices), names=tuple(dict.fromkeys(ids or ()))
    )
    if selection == m.ListVolumes() and not any(pods):
        raise ValueError("select volumes: give names, --nodes, --drives, --pod-names, or --pod-namespaces")
    return selection


def drive_ids(words: Words) -> tuple[str, ...]:
    """Return the ids that a command must have, each once.

    Raises:
        ValueError: None, or a wrong one.
    """
    if not words:
        raise ValueError("give at least one drive id, as `list drives` shows it")
    return tuple(dict.fromkeys(drive_words(words)))


def changes_and_names(words: Words) -> tuple[list[str], list[str]]:
    """Tell changes of labels, ``KEY=VALUE`` and ``KEY-``, from what is to be labelled.

    Raises:
        ValueError: There is no change.

    >>> changes_and_names(["tier=hot", "n1/sda", "old-"])
    (['tier=hot', 'old-'], ['n1/sda'])
    """
    changes = [word for word in words or () if "=" in word or word.endswith("-")]
    if not changes:
        raise ValueError("label: give KEY=VALUE to set a label, or KEY- to remove it")
    return changes, [word for word in words or () if word not in changes]


def only_ids(flag: str, *others: object) -> None:
    """Refuse selectors beside ids.

    Raises:
        ValueError: One of ``others`` was given.
    """
    if any(others):
        raise ValueError(f"{flag}: name the drives by their ids alone; no other selector, and no --wipe")


def the_node(words: Sequence[str], *others: object) -> str:
    """Return the one node that ``remove node`` names.

    Raises:
        ValueError: None, several, or other selectors beside it.
    """
    if len(words) != 1 or any(others):
        raise ValueError("remove node: name one node, and no drives or other selectors")
    return words[0]


@dataclass(frozen=True)
class Pods:
    """Filter by the pod that uses a volume; empty means any."""

    names: frozenset[str]
    namespaces: frozenset[str]

    @classmethod
    def of(cls, pod_names: Words, namespaces: Words) -> "Pods":
        """Read the flags.

        Raises:
            ValueError: A range is malformed.
        """
        return cls(frozenset(expanded(pod_names)), frozenset(expanded(namespaces)))

    def match(self, volume: m.VolumeInfo) -> bool:
        """Tell whether the volume's pod is meant."""
        name, namespace = pod_of(volume)
        return (not self.names or name in self.names) and (not self.namespaces or namespace in self.namespaces)


def pod_of(volume: m.VolumeInfo) -> tuple[str, str]:
    """Return name and namespace of the pod that uses the volume, or used it last."""
    return volume.record.pod_name, volume.record.pod_namespace
