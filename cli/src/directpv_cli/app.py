"""``kubectl directpv``, put together: the flags of every verb, the verbs in the order of ``--help``, and the groups."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import typer

from directpv_cli.reading import lean_typer  # noqa: F401
from directpv_cli.reading.settings import settings
from directpv_cli.reading.statuses import STATUSES, Group
from directpv_cli.showing.terminal.lines import checked
from directpv_cli.verbs.asking import (
    describe_drive,
    describe_node,
    describe_volume,
    explain_device,
    explain_drive,
    explain_pvc,
    explain_volume,
    status,
    top_drives,
    top_volumes,
)
from directpv_cli.verbs.changing import cordon, label_drives, label_volumes, uncordon
from directpv_cli.verbs.cleaning import clean
from directpv_cli.verbs.completing import completion
from directpv_cli.verbs.consoling import console
from directpv_cli.verbs.devices import discover, init
from directpv_cli.verbs.flags import Context, Kubeconfig, NatsNkey, NatsUrl, Plain, Prefix, Quiet, Version
from directpv_cli.verbs.installing import install, uninstall
from directpv_cli.verbs.locating import locate
from directpv_cli.verbs.looking import events, info, list_drives, list_volumes, nats_context
from directpv_cli.verbs.migrating import migrate
from directpv_cli.verbs.moving import evacuate, move
from directpv_cli.verbs.recovering import recover
from directpv_cli.verbs.removing import remove
from directpv_cli.verbs.repairing import repair
from directpv_cli.verbs.rotating import rotate
from directpv_cli.verbs.suspending import resume_drives, resume_volumes, suspend_drives, suspend_volumes
from directpv_common.protocol.subjects import Subjects

Verb = Callable[..., None]

VERBS: Mapping[str, Verb] = {
    "install": install,
    "uninstall": uninstall,
    "rotate": rotate,
    "discover": discover,
    "init": init,
    "info": info,
    "status": status,
    "console": console,
    "cordon": cordon,
    "uncordon": uncordon,
    "repair": repair,
    "locate": locate,
    "remove": remove,
    "clean": clean,
    "recover": recover,
    "migrate": migrate,
    "move": move,
    "evacuate": evacuate,
    "events": events,
    "nats-context": nats_context,
    "completion": completion,
}
GROUPS: Mapping[str, tuple[str, Mapping[str, Verb]]] = {
    "list": ("List drives or volumes.", {"drives": list_drives, "volumes": list_volumes}),
    "label": ("Set or remove labels.", {"drives": label_drives, "volumes": label_volumes}),
    "describe": (
        "Show all about one drive, volume or node.",
        {"drive": describe_drive, "volume": describe_volume, "node": describe_node},
    ),
    "explain": (
        "Say why something is as it is, and what would help.",
        {"pvc": explain_pvc, "volume": explain_volume, "drive": explain_drive, "device": explain_device},
    ),
    "top": ("Show how busy drives and how full volumes are, live.", {"drives": top_drives, "volumes": top_volumes}),
    "suspend": (
        "Let volumes show an empty read-only directory, so that their pods run without them.",
        {"drives": suspend_drives, "volumes": suspend_volumes},
    ),
    "resume": ("Let suspended volumes show their data again.", {"drives": resume_drives, "volumes": resume_volumes}),
}
SHORT: Mapping[str, tuple[str, ...]] = {"drives": ("drive", "dr"), "volumes": ("volume", "vol")}
"""Upstream's other words, in the groups that it has them in."""

ENDS: Final = "\b\nExit status:\n" + "\n".join(f"  {number:<3}  {text}" for number, text in STATUSES.items())
"""The epilogue of the help."""
HELP: Mapping[str, Any] = {"help_option_names": ["-h", "--help"]}


def flags(
    nats_url: NatsUrl = settings.nats_url,
    nats_nkey: NatsNkey = "",
    kubeconfig: Kubeconfig = "",
    context: Context = "",
    prefix: Prefix = settings.prefix,
    quiet: Quiet = False,
    plain: Plain = False,
    version: Version = False,
) -> None:
    """Take the flags that every verb has."""
    checked(lambda: Subjects(prefix))
    settings.nats_url, settings.nats_nkey, settings.kubeconfig = nats_url, nats_nkey, kubeconfig
    settings.context = context
    settings.prefix, settings.quiet, settings.plain = prefix, quiet, plain


def app_for(words: Sequence[str] | None = None) -> typer.Typer:
    """Return the plugin; of verbs that ``words`` do not name, only what ``--help`` says of them. None: all of it.

    What a verb's flags are is found out by looking at its parameters, which takes half a millisecond for each verb.
    """
    app = typer.Typer(
        cls=Group,
        context_settings=dict(HELP),
        help="Manage the drives and volumes of DirectPV.",
        epilog=ENDS,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    app.callback()(flags)
    for name, verb in VERBS.items():
        app.command(name)(verb if words is None or name in words else _said(verb.__doc__))
    for name, (help_text, verbs) in GROUPS.items():
        if words is None or name in words:
            app.add_typer(_group(name, help_text, verbs), name=name)
        else:
            app.command(name)(_said(help_text))
    return app


def _said(help_text: str | None) -> Verb:
    """Return a verb of which only this is known."""

    def verb() -> None:
        """Never called: whoever calls it names it."""

    verb.__doc__ = help_text
    return verb


def _group(name: str, help_text: str, verbs: Mapping[str, Verb]) -> typer.Typer:
    group = typer.Typer(cls=Group, help=help_text, rich_markup_mode=None, context_settings=dict(HELP))
    for noun, verb in verbs.items():
        group.command(noun)(verb)
        for short in SHORT.get(noun, ()) if name in {"list", "label", "top"} else ():
            group.command(short, hidden=True)(verb)
    return group


app = app_for()
"""All of it, for tests and completion."""
