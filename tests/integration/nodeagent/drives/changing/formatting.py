"""What tests of formatting share: a person's request, and the agent that carries it out."""

import asyncio
import functools
import subprocess
import tempfile

from directpv_common.protocol.messages import FormatDevice
from directpv_nodeagent.devices.core.device_id import device_id
from directpv_nodeagent.drives.filesystem.mkfs import format_device
from directpv_nodeagent.drives.taken import inspection

NODE = "n1"
MIB = 1024 * 1024
FSUUID = "8f1c8c7e-0d0a-4b2c-9c3e-2f0f0e6a7b11"


async def discover(prober, device, *, force=False):
    """Return the request that a person makes who took the device from discover's file."""
    facts = await asyncio.to_thread(prober.probe_one, device.name)
    return FormatDevice(id=device_id(facts, NODE), name=facts.name, force=force)


async def format_it(prober, request, *, registered=(), own=(), fsuuid=FSUUID):
    with tempfile.TemporaryDirectory() as root:
        volumes_on = functools.partial(inspection.volumes_on, root)
        return await format_device(
            prober, NODE, request, registered=registered, own=own, fsuuid=fsuuid, volumes_on=volumes_on
        )


def xfs_field(device, field):
    out = subprocess.run(
        ["xfs_db", "-r", "-c", "sb 0", "-c", f"p {field}", device.path], capture_output=True, text=True
    )
    return out.stdout.split("=")[1].strip()
