"""Uses volumes as the sidecars, kubelet and a pod would: calls are repeated until they are answered, within limits."""

import asyncio
import contextlib
import shlex
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Final

from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError

from chaos.host import BROKEN, Host
from chaos.model import History, Volume, Written, content, digest
from chaos.world import World
from directpv_cli.local.csi_client import creation
from directpv_common.protocol.messages import VolumeRecord
from directpv_common.protocol.names import DRIVE
from directpv_csi_gateway.pb import csi_pb2 as csi
from support.guest.client import Done
from support.guest.kubelet import Kubelet

CALL_SECONDS: Final = 12.0
PAUSE_SECONDS: Final = 0.5
TURN_SECONDS: Final = 150.0
"""How long an operation on a volume waits for earlier ones."""
WRITE_SECONDS: Final = 20.0
FAILED: Final = (GRPCError, StreamTerminatedError, AttributeError, *BROKEN)
"""What a call may raise. AttributeError: of grpclib's client, when the connection ends before its first request."""
CONTAINER: Final = "sleep 100000"
"""What runs in a container."""
_BEGIN: Final = f"""
mount --make-rprivate /
mount --bind {{}} /mnt
others=$(awk '$3 == "xfs" && $2 != "/mnt" {{{{ print $2 }}}}' /proc/self/mounts)
for path in $others; do umount -l $path; done
exec {CONTAINER}
"""
"""Begins a container: it has its volume in its mounts and, as real ones, no other, whose drive it would hold."""
INTERNAL: Final = "internal error"
"""What our services say when they failed in a way that nobody foresaw."""
NOT_OURS: Final = 9
"""Exit status: the target does not show an XFS, so a container would not have been started in it."""
_MAKE: Final = "import random, sys; sys.stdout.buffer.write(random.Random(sys.argv[1]).randbytes(int(sys.argv[2])))"
"""What :func:`content` makes, made in the guest."""
_INSIDE: Final = f'cd {{}} || exit {NOT_OURS}; [ "$(stat -f -c %T .)" = xfs ] || exit {NOT_OURS}; '


class NotAnswered(Exception):
    """A call was not answered well for as long as its caller could wait; says what was answered last."""


class Bug(Exception):
    """A service said that it failed in a way that nobody foresaw, or did what must never be; says what."""


async def persist(call: Callable[[], Awaitable[None]], within: float) -> None:
    """Repeat ``call`` until it is answered.

    Raises:
        NotAnswered: It was not, within so many seconds.
        Bug: The answer was an internal error.
    """
    deadline = time.monotonic() + within
    while True:
        try:
            async with asyncio.timeout(CALL_SECONDS):
                return await call()
        except FAILED as error:
            said = f"{error.status.name}: {error.message}" if isinstance(error, GRPCError) else repr(error)[:300]
        if INTERNAL in said:
            raise Bug(said)
        if time.monotonic() > deadline:
            raise NotAnswered(said)
        await asyncio.sleep(PAUSE_SECONDS)


class Operations:
    """What is done with volumes."""

    def __init__(self, world: World, history: History, seed: int) -> None:
        self._world, self._history, self._seed = world, history, seed
        self._locks: dict[str, asyncio.Lock] = {}

    @contextlib.asynccontextmanager
    async def alone(self, volume: Volume) -> AsyncIterator[None]:
        """Do one thing with a volume at a time, as kubelet and the sidecars do."""
        lock = self._locks.setdefault(volume.name, asyncio.Lock())
        async with asyncio.timeout(TURN_SECONDS):
            await lock.acquire()
        try:
            yield
        finally:
            lock.release()

    def kubelet(self, volume: Volume) -> Kubelet:
        """Return who mounts it."""
        record = VolumeRecord(name=volume.name, fsuuid=volume.drive, capacity=volume.capacity)
        kubelet = Kubelet(self.host(volume).node, record)
        kubelet.context = dict(volume.context)
        return kubelet

    def host(self, volume: Volume) -> Host:
        """Return the host of the volume's drive."""
        return self._world.host_of(volume.node)

    # ---- controller service -----------------------------------------------------------------------------------------

    async def create(self, volume: Volume, within: float) -> None:
        """Create a volume."""
        volume.asked = min(volume.asked, time.monotonic())

        async def call() -> None:
            async with self._world.csi() as client:
                made = (await client.controller.CreateVolume(creation(volume.name, volume.capacity))).volume
            volume.context = dict(made.volume_context)
            volume.drive, volume.capacity = volume.context[DRIVE], made.capacity_bytes
            volume.first = made.capacity_bytes
            volume.node = next(host.name for host in self._world.hosts if volume.drive in host.drives)
            volume.created, volume.unsure, volume.made = True, volume.twice, time.monotonic()

        await persist(call, within)

    async def delete(self, volume: Volume, within: float) -> None:
        """Delete a volume that nobody uses."""
        volume.delete_asked = True

        async def call() -> None:
            async with self._world.csi() as client:
                await client.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=volume.name))
            volume.deleted, volume.deleted_at = True, time.monotonic()

        await persist(call, within)

    async def expand(self, volume: Volume, size: int, within: float) -> bool:
        """Raise a volume's size, on its node too if it is mounted; tell whether its drive had the space."""
        volume.wanted = max(volume.wanted, size)
        full = False

        async def reserve() -> None:
            nonlocal full
            lost = len(self._history.losses)
            request = csi.ControllerExpandVolumeRequest(volume_id=volume.name)
            request.capacity_range.required_bytes = size
            try:
                async with self._world.csi() as client:
                    reply = await client.controller.ControllerExpandVolume(request)
            except GRPCError as error:
                full = error.status in (Status.OUT_OF_RANGE, Status.RESOURCE_EXHAUSTED)
                if full:
                    return
                raise
            if lost == len(self._history.losses):
                volume.capacity = max(volume.capacity, reply.capacity_bytes)

        async def grow() -> None:
            await self.kubelet(volume).expand(size)

        await persist(reserve, within)
        if not full and volume.started:
            await persist(grow, within)
        return not full

    # ---- node service ---------------------------------------------------------------------------------------------

    async def start(self, volume: Volume, within: float, *, container: bool = False) -> None:
        """Stage and publish it; then begin a container that holds it, if there shall be one."""
        volume.in_use, began = True, time.monotonic()
        await persist(self.kubelet(volume).start, within)
        volume.started, volume.served = True, self._history.served(volume, began)
        if container:
            volume.container = True
            script = _BEGIN.format(shlex.quote(self.kubelet(volume).target))
            hand = self.host(volume).machine.hand
            async with asyncio.timeout(CALL_SECONDS):
                await hand.start(f"pod-{volume.name}", "unshare", "--mount", "sh", "-ec", script)
            volume.container = True  # again: somebody may have tried to end it before it began

    async def end_container(self, volume: Volume) -> None:
        """End its container, if it has one; one that cannot be ended now is there still."""
        if not volume.container:
            return
        hand = self.host(volume).machine.hand
        with contextlib.suppress(*FAILED):
            async with asyncio.timeout(CALL_SECONDS):
                await hand.signal(f"pod-{volume.name}", signal.SIGKILL)
                await hand.wait(f"pod-{volume.name}", CALL_SECONDS)
            volume.container = False

    async def stop(self, volume: Volume, within: float) -> None:
        """Unpublish and unstage it."""
        volume.started = False
        await self.end_container(volume)
        await persist(self.kubelet(volume).stop, within)
        volume.in_use = False

    async def stats(self, volume: Volume) -> bool:
        """Ask how it is; tell whether it is well."""
        target = self.kubelet(volume).target
        request = csi.NodeGetVolumeStatsRequest(volume_id=volume.name, volume_path=target)
        how = csi.NodeGetVolumeHealthRequest(volume_id=volume.name, volume_publish_path=target)
        async with asyncio.timeout(CALL_SECONDS), self.host(volume).node.csi() as client:
            await client.node.NodeGetVolumeStats(request)
            return not (await client.node.NodeGetVolumeHealth(how)).volume_health.health_statuses

    # ---- the pod ----------------------------------------------------------------------------------------------------

    async def shown(self, volume: Volume) -> str:
        """Return what a pod finds: kind of file system, and whether it can write to it."""
        path = shlex.quote(self.kubelet(volume).target)
        script = f"stat -f -c %T {path}; touch {path}/new 2>/dev/null && echo writable || echo read-only"
        async with asyncio.timeout(CALL_SECONDS):
            return ", ".join((await self.host(volume).machine.hand.sh(script)).split())

    async def write(self, volume: Volume, file: str, size: int) -> Done:
        """Write a new file, and have it and its name on the disk; what is acknowledged is noted."""
        began, key = time.monotonic(), f"{self._seed} {volume.name} {file}"
        make = shlex.join((sys.executable, "-I", "-S", "-c", _MAKE, key, str(size)))
        done = await self._inside(volume, f"{make} | dd of={shlex.quote(file)} bs=64k conv=fsync status=none; sync .")
        if done.code == 0:
            kept = self._history.must_keep(volume.drive, began)
            volume.files[file] = Written(digest(content(key, size)), kept)
        return done

    async def read(self, volume: Volume) -> tuple[Done, dict[str, str]]:
        """Read all files; return what was said, and the digest of each file that could be read."""
        done = await self._inside(volume, '[ -z "$(ls)" ] || sha256sum -- *')
        pairs = (line.split(maxsplit=1) for line in done.out.splitlines())
        return done, {name: found for found, name in pairs}

    async def _inside(self, volume: Volume, script: str) -> Done:
        inside = _INSIDE.format(shlex.quote(self.kubelet(volume).target))
        hand = self.host(volume).machine.hand
        async with asyncio.timeout(WRITE_SECONDS + 5):
            return await hand.attempt("bash", "-eo", "pipefail", "-c", inside + script, within=WRITE_SECONDS)
