"""Lights of bays, so that people find the disk of a drive. Nothing is remembered: the enclosure keeps its lights."""

import functools
from typing import Final

from directpv_common.protocol.errors import FailedPrecondition, NotFound
from directpv_common.protocol.messages import BayLight, LocateDrive
from directpv_nodeagent.devices import lights
from directpv_nodeagent.devices.sysfs import Roots, read_serial
from directpv_nodeagent.drives.taken.drives import Drives

LIGHT_SECONDS: Final = 20.0
"""An enclosure is asked by a SCSI command, which waits behind the others of its bus."""


class Locating:
    """Switches lights of this node's drives."""

    def __init__(self, drives: Drives) -> None:
        self._drives = drives

    async def locate(self, request: LocateDrive) -> BayLight:
        """Put the light of a drive's bay on or out, or look at it; return how it is.

        Raises:
            NotFound: This node does not know the drive.
            FailedPrecondition: No device carries it, or its bay shows no light.
            DriveFault: The enclosure does not do it, or not in time.
        """
        drive = self._drives.by_id.get(request.fsuuid)
        if drive is None:
            raise NotFound(f"node {self._drives.host.node} has no drive {request.fsuuid}")
        name = drive.record.device
        if not name:
            raise FailedPrecondition(f"no device carries {drive.describe()}, so that its bay is not known")
        look = functools.partial(_light, self._drives.prober.roots, name, request.on)
        light, on, serial = await self._drives.executors.run(
            "lights", look, LIGHT_SECONDS, f"asking for the light of {name}"
        )
        node = self._drives.host.node
        return BayLight(fsuuid=request.fsuuid, node=node, device=name, bay=light.bay, on=on, serial=serial)


def _light(roots: Roots, name: str, wanted: bool | None) -> tuple[lights.Light, bool, str]:
    """Return the light of a device's bay, whether it is lit then, and the disk's serial number."""
    light = lights.find(roots, name)
    if wanted is not None and light.is_on() is not wanted:
        light.switch(on=wanted)
    return light, light.is_on(), read_serial(roots, name)
