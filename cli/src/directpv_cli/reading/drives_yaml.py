"""drives.yaml: what discover writes, a person edits, and init reads. Source: upstream's format ``v1``."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

import directpv_common.messages as m

VERSION: Final = "v1"


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

    Entries with ``select: "yes"`` (any case) are taken; a non-empty ``fs`` means: format over it.

    Raises:
        ValueError: Not such a file; names the entry, the field, and what belongs there.
    """
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ValueError(f"not YAML: {error}") from error
    if not isinstance(document, dict) or document.get("version") != VERSION:
        found = document.get("version") if isinstance(document, dict) else None
        raise ValueError(f"version: {found!r} is not supported; this file must say {VERSION!r}")
    chosen: dict[str, list[m.FormatDevice]] = {}
    for index, node in enumerate(_list(document, "nodes", "nodes")):
        where = f"nodes[{index}]"
        name = _text(node, "name", where)
        for row, drive in enumerate(_list(node, "drives", where)):
            if _selected(drive, f"{where}.drives[{row}]"):
                chosen.setdefault(name, []).append(_device(drive, f"{where}.drives[{row}]"))
    _refuse_repeats(chosen)
    return [m.InitDevices(node=name, devices=tuple(devices)) for name, devices in chosen.items()]


def read(path: Path) -> list[m.InitDevices]:
    """Parse the file at ``path``.

    Raises:
        ValueError: Unreadable or malformed; the text names the file.
    """
    try:
        return parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def _list(mapping: Any, key: str, where: str) -> list[Any]:
    if not isinstance(mapping, dict):
        raise ValueError(f"{where}: must be a mapping")
    value = mapping.get(key) or []
    if not isinstance(value, list):
        raise ValueError(f"{where}.{key}: must be a list")
    return value


def _text(mapping: Any, key: str, where: str) -> str:
    value = mapping.get(key) if isinstance(mapping, dict) else None
    if not isinstance(value, str) or not value:
        raise ValueError(f"{where}.{key}: must be a text that is not empty")
    return value


def _selected(drive: Any, where: str) -> bool:
    """YAML 1.1 reads a bare ``yes`` as true: whoever removed the quotes meant the same."""
    if not isinstance(drive, dict):
        raise ValueError(f"{where}: must be a mapping")
    select = drive.get("select")
    return select is True or (isinstance(select, str) and select.lower() == "yes")


def _device(drive: dict[str, Any], where: str) -> m.FormatDevice:
    return m.FormatDevice(id=_text(drive, "id", where), name=_text(drive, "name", where), force=bool(drive.get("fs")))


def _refuse_repeats(chosen: dict[str, list[m.FormatDevice]]) -> None:
    for node, devices in chosen.items():
        names = [device.name for device in devices]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"node {node}: device {name} is listed more than once; keep one entry")
