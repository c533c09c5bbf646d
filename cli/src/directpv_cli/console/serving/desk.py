"""Plans and work: what somebody asked for, what would be done, and what is being done."""

import asyncio
import contextlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import directpv_common.protocol.messages as m
from directpv_cli.commands.changing import discover
from directpv_cli.console.core.actions import ACTIONS, Action, Asked, Noun, Options, Plan
from directpv_cli.console.core.picture import Picture
from directpv_cli.console.core.work import Line, Work, keep
from directpv_cli.console.serving import verbs
from directpv_cli.console.serving.hub import Hub
from directpv_cli.console.serving.link import Link
from directpv_cli.showing.health import name_of
from directpv_common.calls.scopes import task_group
from directpv_common.protocol.errors import DirectPVError
from directpv_common.protocol.units import format_bytes

TOPIC: Final = "work"
PLAN_SECONDS: Final = 900.0
"""A plan that is older says nothing about now."""
DISCOVER_SECONDS: Final = 60.0
DRY_RUN: Final = " (dry run)"


@dataclass
class Heard(Work):
    """Work whose pages are told of each word; verbs speak in threads of their own."""

    tell: Callable[[], None] = lambda: None

    def said(self, text: str, *, trouble: bool) -> None:
        """Note a line."""
        super().said(text, trouble=trouble)
        self.tell()

    def step(self, title: str, name: str, state: str) -> None:
        """Note how far a step is."""
        super().step(title, name, state)
        self.tell()

    def moving(self, status: m.MoveStatus) -> None:
        """Note how far a move is."""
        super().moving(status)
        self.tell()


class Desk:
    """Holds them while the console runs."""

    def __init__(self, hub: Hub, link: Link, nudge: Callable[[], None]) -> None:
        self.plans: OrderedDict[str, Plan] = OrderedDict()
        self.work: OrderedDict[str, Work] = OrderedDict()
        self.found: discover.Found | None = None
        """What the last look for devices brought; None: there was none."""
        self.looked = 0.0
        self.looking = False
        self.failed = ""
        """Why the last look for devices failed."""
        self._hub, self._link, self._nudge = hub, link, nudge

    # ---- plans

    def asked(self, action: Action, targets: tuple[str, ...], options: Options, picture: Picture) -> Asked:
        """Return what is asked for, with names for people, and what is known of the targets now.

        Raises:
            ValueError: One of the targets is not there.
        """
        titles = tuple(self._title(ACTIONS[action].noun, each, picture) for each in targets)
        if action is Action.MOVE:
            options = replace(options, source=picture.by_name[targets[0]].record.fsuuid)
        if action is Action.INIT:
            options = replace(options, devices=tuple(self.devices[target] for target in targets))
        return Asked(action, targets, titles, options, _typed(ACTIONS[action].noun, targets[0], picture))

    def _title(self, noun: Noun, target: str, picture: Picture) -> str:
        if noun is Noun.DRIVE and target in picture.by_id:
            return name_of(picture.by_id[target].record)
        if (noun is Noun.VOLUME and target in picture.by_name) or (noun is Noun.NODE and target in picture.drives_of):
            return target
        if noun is Noun.DEVICE and target in self.devices:
            node, device = self.devices[target]
            return f"{node}/{device.name}"
        raise ValueError(f"target: there is no {noun} {target} any more; look again")

    async def plan(self, asked: Asked, picture: Picture) -> Plan:
        """Ask the verb what it would do; nothing is changed."""
        draft = Work("", asked, time.monotonic())
        status = 0
        if asked.what.planned:
            verb = verbs.VERBS[asked.action]
            status = await verbs.run(self._link, lambda: verb(asked, True), draft)
        else:
            draft.lines = [Line(text, False) for text in self._foretold(asked, picture)]
        said = [(line.text.removesuffix(DRY_RUN), line.trouble) for line in draft.lines]
        possible, tables = not status, draft.tables
        plan = Plan(asked, said, time.monotonic(), possible, tables, id=secrets.token_urlsafe(9))
        keep(self.plans, plan.id, plan)
        return plan

    def _foretold(self, asked: Asked, picture: Picture) -> list[str]:
        """Return what is known of targets whose verb does not say beforehand what it would do."""
        if asked.what.noun is Noun.DEVICE:
            return [_of_device(node, device) for node, device in asked.options.devices]
        if asked.what.noun is Noun.DRIVE:
            counts = [(name_of(picture.by_id[each].record), picture.by_id[each].volumes) for each in asked.targets]
            return [f"Drive {name}: {count} volumes on it" for name, count in counts]
        return [f"Volume {title}" for title in asked.titles]

    async def confirm(self, plan: Plan, picture: Picture) -> Plan | Work:
        """Carry a plan out; where data may be lost and something else would be done by now, return a new plan."""
        plan.spent = True  # whoever confirms it meanwhile is late
        if plan.asked.word and plan.asked.what.planned:
            now = await self.plan(plan.asked, picture)
            if not now.is_like(plan):
                now.instead, plan.later = True, now.id
                return now
            del self.plans[now.id]
        return self._begin(plan)

    def _begin(self, plan: Plan) -> Work:
        tell = partial(_tell, asyncio.get_running_loop(), self._hub)
        work = Heard(secrets.token_urlsafe(9), plan.asked, time.monotonic(), tell=tell)
        keep(self.work, work.id, work)
        self._group.create_task(self._carried_out(work))
        return work

    async def _carried_out(self, work: Work) -> None:
        verb, losses = verbs.VERBS[work.asked.action], self._link.losses
        status = await verbs.run(self._link, lambda: verb(work.asked, False), work)
        work.cut_off = bool(status) and self._link.losses != losses
        work.status = status
        work.ended = time.monotonic()
        if work.asked.action is Action.INIT:
            self.found = None  # what was seen is formatted
        self._nudge()
        self._hub.tell(TOPIC)

    # ---- devices

    @property
    def devices(self) -> dict[str, tuple[str, m.Device]]:
        """What may be initialised, by keys that forms send back."""
        found = self.found.devices if self.found is not None else ()
        return {f"{node} {device.id}": (node, device) for node, device in found if not device.denied}

    def look(self) -> None:
        """Ask all nodes for their devices, unless that is under way."""
        if not self.looking:
            self.looking, self.failed = True, ""
            self._group.create_task(self._look())

    async def _look(self) -> None:
        try:
            self.found = await discover.find(self._link.bus(), (), DISCOVER_SECONDS)
        except DirectPVError as error:
            self.failed = error.message
        finally:
            self.looking, self.looked = False, time.monotonic()
            self._hub.tell(TOPIC)

    async def run(self) -> None:
        """Have room for what is done until cancelled; what was asked of the controller goes on there."""
        async with task_group() as group:
            self._group = group
            await asyncio.Event().wait()


def _tell(loop: asyncio.AbstractEventLoop, hub: Hub) -> None:
    with contextlib.suppress(RuntimeError):  # the console has ended
        loop.call_soon_threadsafe(hub.tell, TOPIC)


def _typed(noun: Noun, target: str, picture: Picture) -> str:
    """Return what is typed for a drive: NODE/DEVICE, or the first letters of its id while no device carries it."""
    if noun is not Noun.DRIVE:
        return ""
    record = picture.by_id[target].record
    return f"{record.node}/{record.device or record.fsuuid[:8]}"


def _of_device(node: str, device: m.Device) -> str:
    carries = f"carries {device.fs_type or 'a signature'}; all of it is lost" if device.needs_force else "is blank"
    return f"Device {node}/{device.name} ({format_bytes(device.size)}, {device.make or 'no make'}) {carries}"
