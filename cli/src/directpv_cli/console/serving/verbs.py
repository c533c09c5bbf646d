"""The plugin's verbs, run as they are: each in a thread of its own, on the console's bus, heard by its pages."""

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import Callable, Mapping
from contextvars import copy_context
from pathlib import Path
from typing import Final

import msgspec
import typer

import directpv_common.protocol.messages as m
from directpv_cli.commands.changing import (
    change,
    clean,
    discover,
    locate,
    move,
    recover,
    remove,
    remove_lost,
    repair,
    suspend,
)
from directpv_cli.console.core.actions import Action, Asked
from directpv_cli.console.serving.link import Link
from directpv_cli.reaching.session import Lent, lent
from directpv_cli.reading import drives_yaml
from directpv_cli.reading.selection import Pods
from directpv_cli.reading.words import DAY, WEEK
from directpv_cli.showing.terminal.listening import Listener, heard_by

FORMAT_SECONDS: Final = 600.0
ANY_POD: Final = Pods(frozenset(), frozenset())


def _drives(asked: Asked) -> m.ListDrives:
    return m.ListDrives(ids=asked.targets)


def _volumes(asked: Asked) -> m.ListVolumes:
    return m.ListVolumes(names=asked.targets)


def _words(asked: Asked) -> list[str]:
    return asked.options.labels.split()


def _move(asked: Asked, plan: bool) -> None:
    flags = move.Flags(volumes=asked.targets, dry_run=plan, within=WEEK)
    move.move(asked.options.source, asked.options.target, flags)


def _clean(asked: Asked, plan: bool) -> None:
    """Delete what nobody has; several that were ticked in a table are no less a selection than a flag makes."""
    several = len(asked.targets) > 1
    chosen = clean.clean(
        _volumes(asked), ANY_POD, dry_run=plan, output="", ignore_not_found=False, all_may_be_lost=not several
    )
    if plan and not chosen:
        raise typer.Exit(1)


def _init(asked: Asked, plan: bool) -> None:
    """Format devices, by the file that ``discover`` would have written and a person would have edited."""
    chosen = [(node, msgspec.structs.replace(device, needs_force=False)) for node, device in asked.options.devices]
    with tempfile.TemporaryDirectory(prefix="directpv-console-") as directory:
        file = Path(directory, "drives.yaml")
        file.write_text(drives_yaml.render(chosen), encoding="utf-8")
        discover.init(file, dangerous=True, output="", timeout=FORMAT_SECONDS)


VERBS: Final[Mapping[Action, Callable[[Asked, bool], None]]] = {
    Action.CORDON: lambda asked, plan: change.set_schedulable(_drives(asked), unschedulable=True, dry_run=plan),
    Action.UNCORDON: lambda asked, plan: change.set_schedulable(_drives(asked), unschedulable=False, dry_run=plan),
    Action.LABEL_DRIVES: lambda asked, plan: change.label_drives(_drives(asked), _words(asked), dry_run=plan),
    Action.LABEL_VOLUMES: lambda asked, plan: change.label_volumes(
        _volumes(asked), ANY_POD, _words(asked), dry_run=plan
    ),
    Action.SUSPEND_DRIVES: lambda asked, plan: suspend.drives(_drives(asked), suspended=True, dry_run=plan),
    Action.RESUME_DRIVES: lambda asked, plan: suspend.drives(_drives(asked), suspended=False, dry_run=plan),
    Action.SUSPEND_VOLUMES: lambda asked, plan: suspend.volumes(_volumes(asked), ANY_POD, suspended=True, dry_run=plan),
    Action.RESUME_VOLUMES: lambda asked, plan: suspend.volumes(_volumes(asked), ANY_POD, suspended=False, dry_run=plan),
    Action.LOCATE: lambda asked, plan: locate.locate(asked.targets, None if plan else True, output=""),
    Action.LOCATE_OFF: lambda asked, plan: locate.locate(asked.targets, None if plan else False, output=""),
    Action.CHECK: lambda asked, plan: repair.repair(asked.targets, repair.Flags(dry_run=True), within=DAY),
    Action.REPAIR: lambda asked, plan: repair.repair(
        asked.targets, repair.Flags(force=asked.options.force), within=DAY
    ),
    Action.REMOVE: lambda asked, plan: remove.remove(
        _drives(asked), remove.Flags(asked.options.wipe, dry_run=plan, within=DAY)
    ),
    Action.REMOVE_LOST: lambda asked, plan: remove_lost.lost(
        asked.targets, remove_lost.Flags(dangerous=not plan, dry_run=plan)
    ),
    Action.REMOVE_NODE: lambda asked, plan: remove_lost.node(
        asked.targets[0], remove_lost.Flags(dangerous=not plan, dry_run=plan)
    ),
    Action.EVACUATE: lambda asked, plan: move.evacuate(asked.targets[0], move.Flags(dry_run=plan, within=WEEK)),
    Action.MOVE: _move,
    Action.CANCEL_MOVE: lambda asked, plan: move.cancel(asked.targets, move.Flags(within=DAY)),
    Action.CLEAN: _clean,
    Action.RECOVER: lambda asked, plan: recover.recover(asked.targets, recover.How(dry_run=plan)),
    Action.INIT: _init,
}
"""What each does, given what is asked for, and whether only a plan is."""


async def run(link: Link, verb: Callable[[], None], hearing: Listener) -> int:
    """Run a verb in a thread of its own, which ends with the console at the latest; return its exit status."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def work() -> None:
        with heard_by(hearing), lent(Lent(loop, link.lend)):
            status = _status(verb, hearing)
        with contextlib.suppress(RuntimeError):  # the console has ended
            loop.call_soon_threadsafe(lambda: None if ended.done() else ended.set_result(status))

    threading.Thread(target=copy_context().run, args=(work,), daemon=True).start()
    return await ended


def _status(verb: Callable[[], None], hearing: Listener) -> int:
    """Return the exit status that the verb would have as a program."""
    try:
        verb()
    except typer.Exit as end:
        return int(end.exit_code)
    except Exception as error:
        hearing.said(f"{type(error).__name__}: {error}", trouble=True)
        return 1
    return 0
