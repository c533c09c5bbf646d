"""drives.yaml: what discover writes, a person edits, and init reads. Source: upstream's format ``v1``."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import directpv_common.protocol.messages as m
from directpv_cli.reading.strict_yaml import Place, root_of

VERSION: Final = "v1"
_DOCUMENT: Final = {"version": str, "nodes": list}
_NODE: Final = {"name": str, "drives": list}
_DRIVE: Final = {"id": str, "name": str, "size": int, "make": str, "fs": str, "select": object}
"""Keys, and the types of their values."""
_SELECT: Final = {"yes": True, "true": True, "on": True, "no": False, "false": False, "off": False}


def render(devices: Iterable[tuple[str, m.Device]]) -> str:
    """Return the file for ``devices``, given as (node, device); those that may not be initialised are left out.

    A device that carries a signature gets ``select: "no"``: formatting it needs a decision.
    """
    import yaml

    nodes: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for node, device in devices:
        if not device.denied:
            nodes[node].append(_entry(device))
    document = {"version": VERSION, "nodes": [{"name": node, "drives": drives} for node, drives in nodes.items()]}
    return str(yaml.dump(document, Dumper=_quoting_dumper(), indent=4, sort_keys=False, default_flow_style=False))


def _entry(device: m.Device) -> dict[str, Any]:
    entry = {"id": device.id, "name": device.name, "size": device.size, "make": device.make}
    if device.fs_type:
        entry["fs"] = device.fs_type
    return {**entry, "select": _Quoted("no" if device.needs_force else "yes")}


class _Quoted(str):
    """A string that YAML 1.1 would take for a boolean."""


def _quoting_dumper() -> Any:
    import yaml

    class Dumper(yaml.SafeDumper):
        def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
            super().increase_indent(flow, False)

    Dumper.add_representer(_Quoted, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, '"'))
    return Dumper


def parse(text: str) -> list[m.InitDevices]:
    """Return one request per node that has a selected device.

    Entries with ``select: "yes"`` (any case) are taken; a non-empty ``fs`` means: format over it. What is selected is
    erased, so whatever in the file is not understood refuses all of it.

    Raises:
        ValueError: Not such a file; names line, key, and what belongs there.
    """
    root = root_of(text)
    if root is None:
        raise ValueError(f"version: missing; this file must say {VERSION!r}")
    document = root.mapping(_DOCUMENT)
    if "version" not in document or document["version"].text() != VERSION:
        place = document.get("version", root)
        raise place.wrong(f"version {place.text()!r} is not supported; this file must say version: {VERSION}")
    chosen: dict[str, list[m.FormatDevice]] = {}
    listed: dict[tuple[str, str, str], Place] = {}
    for node in document["nodes"].items() if "nodes" in document else ():
        entry = node.mapping(_NODE)
        name = _text(entry, "name", node)
        for drive in entry["drives"].items() if "drives" in entry else ():
            row = drive.mapping(_DRIVE)
            _refuse_repeat(listed, name, drive, row)
            if _selected(row):
                device = m.FormatDevice(
                    id=_text(row, "id", drive),
                    name=_text(row, "name", drive),
                    force=bool("fs" in row and row["fs"].text()),
                )
                chosen.setdefault(name, []).append(device)
    return [m.InitDevices(node=name, devices=tuple(devices)) for name, devices in chosen.items()]


def read(path: Path) -> list[m.InitDevices]:
    """Parse the file at ``path``.

    Raises:
        ValueError: Unreadable or malformed; the text names the file.
    """
    try:
        return parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ValueError(f"{path}: there is no such file; `kubectl directpv discover` writes it") from error
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from error
    except ValueError as error:  # UnicodeDecodeError too
        raise ValueError(f"{path}: {error}") from error


def _text(mapping: dict[str, Place], key: str, within: Place) -> str:
    value = mapping[key].text() if key in mapping else ""
    if not value:
        raise Place(mapping.get(key, within).node, f"{within.path}.{key}").wrong("must be a text that is not empty")
    return value


def _selected(row: dict[str, Place]) -> bool:
    """Tell whether a device shall be formatted. YAML 1.1 reads a bare ``yes`` as true: who removed quotes meant that.

    Raises:
        ValueError: It says neither yes nor no.
    """
    if "select" not in row:
        return False
    word = row["select"].text().lower()
    if word not in _SELECT:
        raise row["select"].wrong(f'{word!r} says neither yes nor no; write "yes" to format the device, or "no"')
    return _SELECT[word]


def _refuse_repeat(listed: dict[tuple[str, str, str], Place], node: str, drive: Place, row: dict[str, Place]) -> None:
    """Raise if the node's device stands in the file already, selected or not: its entries may contradict."""
    for key in ("name", "id"):
        value = row[key].text() if key in row else ""
        first = listed.setdefault((node, key, value), drive)
        if value and first is not drive:
            raise drive.wrong(
                f"{key} {value} of node {node} is listed more than once, first in line "
                f"{first.node.start_mark.line + 1}; keep one entry"
            )
