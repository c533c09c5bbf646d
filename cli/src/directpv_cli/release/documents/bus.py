"""The reference of the bus: subjects, requests, events, reasons; each from its one table."""

from collections.abc import Iterator
from typing import Final

from directpv_common.access.roles import Role
from directpv_common.bus.cloud_event import TYPE_PREFIX
from directpv_common.protocol import subjects
from directpv_common.protocol.api import Controller, Endpoint, Node
from directpv_common.protocol.kinds import KINDS
from directpv_common.protocol.reasons import TABLE
from directpv_common.protocol.subjects import Subjects

_SUBJECTS: Final = """# Subjects and requests

Everything is on NATS, below one prefix (`{prefix}` unless `--subject-prefix` says otherwise). Each request is a NATS
micro service: `nats micro ls`, `nats micro info`, `nats micro stats`. Bodies are JSON. Who may say and hear what is
decided by the role of the connection's key: {roles}.

{table}
"""
_EVENTS: Final = """# Events

CloudEvents on `{events}`, kept in the JetStream stream `{stream}`. An event's type is `{type}` and the words below; its
subject is the drive's id, or the name of the volume, device, node or controller. `kubectl directpv events` shows them,
`--watch` follows, `--type 'drive.*'` chooses.

| type | told when |
|---|---|
{rows}
"""
_REASONS: Final = """# Reasons

What can be wrong with a drive or a volume, in one vocabulary: conditions of DirectPVDrive (`reason`), events, metrics
(`directpv_drive_condition`, `directpv_volume_condition`), alerts of drives (`DirectPV` before the word), CSI's health
calls, the plugin and the console say these words.

| reason | effect on its volumes | means | what to do |
|---|---|---|---|
{rows}
"""


def pages() -> dict[str, str]:
    """Return the pages by their file names."""
    names = Subjects()
    head = _SUBJECTS.format(
        prefix=names.prefix, roles=", ".join(f"`{role}`" for role in Role), table=_table_of(subjects.__doc__ or "")
    )
    events = "\n".join(f"| `{kind}` | {told} |" for kind, told in KINDS.items())
    reasons = "\n".join(
        f"| `{reason}` | {meaning.effect.value} | {meaning.says} | {meaning.advice.replace('{drive}', 'DRIVE')} |"
        for reason, meaning in TABLE.items()
    )
    return {
        "subjects.md": head + "\n".join(_requests()),
        "events.md": _EVENTS.format(events=names.all_events, stream=names.stream, type=TYPE_PREFIX, rows=events),
        "reasons.md": _REASONS.format(rows=reasons),
    }


def _table_of(docstring: str) -> str:
    """Return the table in a module's docstring, as Markdown."""
    lines = (line.replace("``", "`") for line in docstring.splitlines() if line.startswith("|"))
    return "\n".join(lines)


def _requests() -> Iterator[str]:
    for title, table, subject in (
        ("Requests to the leader", Controller, "ctl"),
        ("Requests to a node's agent", Node, "node.<node>"),
    ):
        yield f"\n## {title}\n\n| subject | takes | gives |\n|---|---|---|"
        for each in vars(table).values():
            if isinstance(each, Endpoint):
                where = f"{subject}.{each.noun}.{each.verb}"
                yield f"| `{where}` | {each.request.__name__} | {each.reply.__name__} |"
    yield ""
