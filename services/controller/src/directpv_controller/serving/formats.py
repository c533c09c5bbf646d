"""Devices become drives: formatted by their node, which alone can tell whether they may be, then registered."""

from typing import Any, Final

import msgspec

import directpv_common.protocol.messages as m
from directpv_common.calls.context import remaining
from directpv_common.calls.singleflight import SingleFlight
from directpv_common.protocol.api import Node
from directpv_common.protocol.errors import Conflict, FailedPrecondition, NotFound, Unavailable
from directpv_controller.core.taking_in.doubt import doubt
from directpv_controller.leading.term import Term
from directpv_controller.nodes.asking import ask
from directpv_controller.nodes.nodes import Nodes

INIT_SECONDS: Final = 600.0
"""Formatting when the caller sets no deadline."""
LIST_SECONDS: Final = 30.0
"""A disk that was spun down takes ten seconds to answer, and is then read in some hundred places."""


class Formats:
    """Answers for one term of leadership; ``flights`` is shared with whatever else works on drives and volumes."""

    def __init__(self, term: Term, nodes: Nodes, flights: SingleFlight[Any]) -> None:
        self._term = term
        self._nodes = nodes
        self._flights = flights

    async def init(self, request: m.InitDevices) -> m.FormatResults:
        """Let a node format devices, and register the drives that they became."""
        results: m.FormatResults = await self._flights.run(f"init {request.node}", request, lambda: self._init(request))
        return results

    async def _init(self, request: m.InitDevices) -> m.FormatResults:
        await self._nodes.reported()
        order = m.FormatDevices(
            devices=request.devices, registered=await self._registered(request), fence=self._term.fence
        )
        self._term.require_lead()
        limit = remaining(INIT_SECONDS)
        results = await ask(self._term, self._nodes, Node.DEVICE_FORMAT, order, node=request.node, within=limit)
        registered = [await self._register(request.node, result) for result in results.results]
        return m.FormatResults(node=request.node, results=tuple(registered))

    async def _registered(self, request: m.InitDevices) -> tuple[str, ...]:
        """Return which file systems among the devices asked belong to registered drives, of whatever node."""
        try:
            limit = remaining(LIST_SECONDS)
            devices = await ask(self._term, self._nodes, Node.DEVICE_LIST, m.Empty(), node=request.node, within=limit)
        except Unavailable as error:
            if not self._nodes.knows(request.node):
                raise NotFound(f"node {request.node} is unknown: its agent was never heard", field="node") from error
            raise FailedPrecondition(f"node {request.node} does not answer; start its agent first") from error
        asked = {device.name for device in request.devices}
        found = {device.fsuuid.lower() for device in devices.devices if device.name in asked and device.fsuuid}
        ledger = self._term.ledger
        return tuple(sorted(id for id in found if id in ledger.drives or ("drive", id) in ledger.unreadable))

    async def _register(self, node: str, result: m.FormatResult) -> m.FormatResult:
        if result.drive is None:
            return result
        record = msgspec.structs.replace(result.drive, node=node)
        if why := doubt(record):
            return m.FormatResult(name=result.name, error=f"formatted, and not taken in: {why}; look at its node")
        news = record.fsuuid not in self._term.ledger.drives  # the node's heartbeat may have been quicker
        try:
            change = self._term.ledger.register(record)
        except Conflict as error:
            self._term.events.emit("drive", "conflict", record.fsuuid, node=node)
            return m.FormatResult(name=result.name, error=error.message)
        await self._term.commit(change)
        if news:
            facts = {"node": node, "device": record.device, "total": record.total}
            self._term.events.emit("drive", "registered", record.fsuuid, **facts)
        drive = self._term.ledger.drives[record.fsuuid].record
        return m.FormatResult(name=result.name, drive=drive, existed=result.existed)
