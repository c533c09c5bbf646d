"""Decisions of people about one drive or volume: committed, then passed on to its node in the background.

The node keeps them on the drive itself, for its part of the work must need no controller.
"""

from typing import Any

import directpv_common.protocol.messages as m
from directpv_common.calls.singleflight import SingleFlight
from directpv_controller.core.showing import listing
from directpv_controller.leading.term import Term
from directpv_controller.nodes.nodes import Nodes


class Changes:
    """Answers for one term of leadership; ``flights`` is shared with whatever else works on drives and volumes."""

    def __init__(self, term: Term, nodes: Nodes, flights: SingleFlight[Any]) -> None:
        self._term = term
        self._ledger = term.ledger
        self._nodes = nodes
        self._flights = flights

    async def drive(self, request: m.ChangeDrive) -> m.DriveInfo:
        """Cordon, suspend or label one drive, or take that back."""
        info: m.DriveInfo = await self._flights.run(f"drive {request.fsuuid}", request, lambda: self._drive(request))
        return info

    async def _drive(self, request: m.ChangeDrive) -> m.DriveInfo:
        drive, change = self._ledger.change_drive(request)
        await self._term.commit(change)
        if change is not None:
            record = drive.record
            self._nodes.worker(record.node).order(update=(record,))
            self._term.events.emit(
                "drive",
                "changed",
                record.fsuuid,
                node=record.node,
                unschedulable=record.unschedulable,
                labels=record.labels,
            )
        return listing.drive_info(drive)

    async def volume(self, request: m.ChangeVolume) -> m.VolumeInfo:
        """Suspend, resume or label one volume."""
        info: m.VolumeInfo = await self._flights.run(f"volume {request.name}", request, lambda: self._volume(request))
        return info

    async def _volume(self, request: m.ChangeVolume) -> m.VolumeInfo:
        await self._term.idle(request.name)
        volume, change = self._ledger.change_volume(request)
        await self._term.commit(change)
        info = listing.volume_info(self._ledger, volume)
        if change is not None:
            self._nodes.worker(info.node).order(prepare=(info.record,))
            self._term.events.emit("volume", "changed", request.name, node=info.node, labels=info.record.labels)
        return info
