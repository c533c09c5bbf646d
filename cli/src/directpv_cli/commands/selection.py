"""Which objects a command means: flags become one message of filters."""

import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, TypeVar

import directpv_common.messages as m
from directpv_cli.ellipsis import expand_all
from directpv_cli.session import checked
from directpv_common import names

S = TypeVar("S", bound=StrEnum)
Words = Sequence[str] | None

_UUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_LABEL_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?\Z")
_LABEL_VALUE: Final = re.compile(r"([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?\Z")


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
    """Return the filters; no selector means Ready drives, or an error if one is ``required``."""

    def parse() -> m.ListDrives:
        if everything:
            return m.ListDrives()
        selection = m.ListDrives(
            nodes=expand_all(nodes or ()),
            devices=device_names(devices),
            statuses=states(statuses, m.DriveStatus, "--status"),
            labels=label_pairs(labels),
            ids=uuids(ids),
        )
        if selection != m.ListDrives():
            return selection
        if required:
            raise ValueError("select drives: give ids, --nodes, --drives, --status, or --all")
        return m.ListDrives(statuses=(m.DriveStatus.READY,))

    return checked(parse)


def volume_selection(
    nodes: Words, devices: Words, drives: Words, statuses: Words, labels: Words, ids: Words, *, everything: bool
) -> m.ListVolumes:
    """Return the filters; no selector means all volumes that are staged or published."""

    def parse() -> m.ListVolumes:
        if everything:
            return m.ListVolumes()
        selection = m.ListVolumes(
            nodes=expand_all(nodes or ()),
            devices=device_names(devices),
            drives=uuids(drives),
            statuses=states(statuses, m.VolumeStatus, "--status"),
            labels=label_pairs(labels),
            names=tuple(ids or ()),
        )
        if selection != m.ListVolumes():
            return selection
        return m.ListVolumes(statuses=(m.VolumeStatus.READY, m.VolumeStatus.BOUND))

    return checked(parse)


def some_drives(nodes: Words, devices: Words, ids: Words) -> m.ListDrives:
    """Return the filters of a command that wants to be told which drives; without selector the program ends."""

    def parse() -> m.ListDrives:
        selection = m.ListDrives(nodes=expand_all(nodes or ()), devices=device_names(devices), ids=uuids(ids))
        if selection == m.ListDrives():
            raise ValueError("select drives: give ids, --nodes, or --drives")
        return selection

    return checked(parse)


def some_volumes(nodes: Words, devices: Words, ids: Words, *pods: Words) -> m.ListVolumes:
    """Return the filters of a command that wants to be told which volumes; without any, nor ``pods``, the program ends.

    Pods are not among the filters: whoever lists the volumes looks at theirs.
    """

    def parse() -> m.ListVolumes:
        selection = m.ListVolumes(
            nodes=expand_all(nodes or ()), devices=device_names(devices), names=tuple(dict.fromkeys(ids or ()))
        )
        if selection == m.ListVolumes() and not any(pods):
            raise ValueError("select volumes: give names, --nodes, --drives, --pod-names, or --pod-namespaces")
        return selection

    return checked(parse)


def device_names(words: Words) -> tuple[str, ...]:
    """Expand ranges and strip ``/dev/``."""
    return tuple(word.removeprefix("/dev/") for word in expand_all(words or ()))


def uuids(words: Words) -> tuple[str, ...]:
    """Check drive ids.

    Raises:
        ValueError: Not a lower-case UUID; names it.
    """
    for word in words or ():
        if not _UUID.match(word):
            raise ValueError(f"{word!r} is not a drive id: a lower-case UUID, as `list drives` shows it")
    return tuple(words or ())


def drive_ids(words: Words) -> tuple[str, ...]:
    """Check the ids that a command must have, each once; without any, or with a wrong one, the program ends."""

    def parse() -> tuple[str, ...]:
        if not words:
            raise ValueError("give at least one drive id, as `list drives` shows it")
        return tuple(dict.fromkeys(uuids(words)))

    return checked(parse)


def states(words: Words, kind: type[S], flag: str) -> tuple[S, ...]:
    """Read states in any case.

    Raises:
        ValueError: Unknown; names the flag and lists the states.
    """
    known: dict[str, S] = {state.value.lower(): state for state in kind}
    chosen = [part.strip().lower() for word in words or () for part in word.split(",")]
    for word in chosen:
        if word not in known:
            raise ValueError(f"{flag}: {word!r} is unknown; use one of {', '.join(sorted(known))}")
    return tuple(known[word] for word in chosen)


def label_pairs(words: Words) -> dict[str, str]:
    """Read ``KEY=VALUE`` items into full keys and values."""
    return dict(label_pair(part.strip()) for word in words or () for part in word.split(","))


def label_pair(word: str) -> tuple[str, str]:
    """Read one ``KEY=VALUE``; the key gets the group's prefix unless it has it.

    Raises:
        ValueError: Not a valid label; says which half is wrong.
    """
    key, equals, value = word.partition("=")
    if not equals:
        raise ValueError(f"label {word!r}: write KEY=VALUE")
    if not _LABEL_VALUE.match(value):
        raise ValueError(f"label {word!r}: the value may have letters, digits, '-', '_', '.', 63 characters at most")
    return label_key(key), value


def label_key(key: str) -> str:
    """Return the full key.

    Raises:
        ValueError: Not a label key.
    """
    name = key.removeprefix(f"{names.GROUP}/")
    if not _LABEL_NAME.match(name):
        raise ValueError(f"label key {key!r}: letters, digits, '-', '_', '.', 63 characters at most")
    return f"{names.GROUP}/{name}"


def output_format(output: str, *, wide: bool = True) -> Callable[..., None] | None:
    """Return what prints a document, or None for a table; a wrong format ends the program."""
    from directpv_cli import tables

    printers: dict[str, Callable[..., None] | None] = {
        "": None,
        "json": tables.print_json,
        "yaml": tables.print_yaml,
        **({"wide": None} if wide else {}),
    }

    def parse() -> Callable[..., None] | None:
        if output not in printers:
            raise ValueError(f"--output: {output!r} is unknown; use one of {', '.join(filter(None, printers))}")
        return printers[output]

    return checked(parse)
