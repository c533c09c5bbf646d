"""The main job from end to end, through the interfaces that kubelet, the sidecars and administrators use."""

import asyncio
import contextlib
import signal
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TypeVar

from grpclib.exceptions import GRPCError

from directpv_cli.commands.changing import discover
from directpv_cli.commands.looking import info
from directpv_cli.local import stack
from directpv_cli.local.csi_client import CALL_SECONDS, CsiClient, capability, connect, creation
from directpv_cli.local.lifecycle import start, stop
from directpv_cli.local.show import ENFORCED_NOT
from directpv_cli.reaching.session import run
from directpv_cli.reading import drives_yaml
from directpv_cli.reading.settings import settings
from directpv_cli.showing.terminal import tables
from directpv_cli.showing.terminal.cells import Column
from directpv_cli.showing.terminal.lines import say
from directpv_common.bus.bus import Bus
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.counts import counted
from directpv_common.protocol.units import MIB, format_bytes
from directpv_csi_gateway.pb import csi_pb2 as csi

T = TypeVar("T")
VOLUME = "pvc-demo"
SIZE, LARGER = 64 * MIB, 128 * MIB
TEXT = b"written through the volume\n" * 4096
CONTROLLER_SECONDS = 30.0


class DemoError(Exception):
    """A step did not do what it should."""


@dataclass
class Clock:
    """Takes the time of each step, for the table at the end."""

    rows: list[list[str]] = field(default_factory=list)

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[Callable[[str], None]]:
        """Time the block; the callable takes what was done, in words."""
        say(f"[bold cyan]▸ {name}[/bold cyan]")
        outcome: list[str] = []
        begun = time.perf_counter()
        yield outcome.append
        seconds = time.perf_counter() - begun
        self.rows.append([str(len(self.rows) + 1), name, outcome[-1] if outcome else "", f"{seconds * 1000:,.1f} ms"])


def demo(*, keep: bool) -> None:
    """Run it on a stack of its own, which is removed at the end, also after a failure or Ctrl-C.

    Raises:
        DemoError: A step failed.
        StackError: The stack could not be started or removed.
    """
    directory = Path(tempfile.mkdtemp(prefix="directpv-demo-"))
    clock = Clock()
    try:
        with _interrupts() as check:
            directory.rmdir()
            with clock.step("start nats-server, controller, node agent and CSI gateway") as done:
                running = start.up(stack.Options(directory=str(directory), nats_port=0))
                drives = counted(len(running.nodes[0].devices), "drive")
                done(f"{counted(len(running.running), 'process', 'processes')}, {drives} of 1 GiB")
            if running.quota == "best-effort":
                say(ENFORCED_NOT)
            settings.nats_url = running.nats_url
            check()
            prepare(clock, running)
            check()
            asyncio.run(serve_volume(clock, running))
            check()
    except KeyboardInterrupt:
        raise DemoError("interrupted") from None
    finally:
        if not keep and directory.exists():
            with clock.step("remove everything") as done:
                stop.down(directory)
                done("no process, mount, loop device or file is left")
    if keep and directory.exists():
        say("")
        say(kept(directory, settings.nats_url))
    say("")
    tables.show(["#", Column("STEP", folds=24), Column("DONE", folds=24), "TIME"], clock.rows)


def kept(directory: Path, url: str) -> str:
    """Return how to find the stack again that is left running."""
    where = f"--state-dir {directory}"
    return (
        f"The stack is in {directory}: export DIRECTPV_NATS_URL={url}; directpv status {where}; directpv down {where}\n"
        f"Use it: directpv volume create mine {where}; directpv volume mount mine /mnt/mine {where}"
    )


@contextlib.contextmanager
def _interrupts() -> Iterator[Callable[[], None]]:
    """Let SIGINT and SIGTERM raise KeyboardInterrupt while the block runs.

    The callable raises it again if there was one: a library may swallow it, and asyncio turns one that it takes itself
    into a cancellation, which nats-py loses while it flushes.
    """
    seen: list[int] = []

    def interrupt(number: int, frame: FrameType | None) -> None:
        seen.append(number)
        raise KeyboardInterrupt

    def check() -> None:
        if seen:
            raise KeyboardInterrupt

    previous = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield check
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def prepare(clock: Clock, running: stack.Stack) -> None:
    """Discover, drives.yaml, init: what an administrator does once per node."""
    node = running.nodes[0]
    with clock.step("discover devices") as done:
        found = run(lambda bus: _until_found(bus, node))
        discover.show_devices(found.devices)
        done(f"{counted(len(found.devices), 'device')} on {node.name}")
    with clock.step("write drives.yaml and initialise the drives") as done:
        file = running.directory / "drives.yaml"
        file.write_text(drives_yaml.render(found.devices))
        requests = drives_yaml.read(file)
        results = run(lambda bus: discover.format_all(bus, requests, CALL_SECONDS))
        discover.show_results(results)
        if len(results) != len(node.devices) or any(result.error for _, result in results):
            raise DemoError("not every drive was initialised")
        done(f"{len(results)} drives are Ready")
    info.info("")


async def _until_found(bus: Bus, node: stack.NodeStack) -> discover.Found:
    """The controller hears of a new node within a heartbeat."""
    async with timeout(CONTROLLER_SECONDS):
        while True:
            found = await discover.find(bus, (node.name,), CONTROLLER_SECONDS)
            if found.devices:
                return found
            await asyncio.sleep(0.1)


async def serve_volume(clock: Clock, running: stack.Stack) -> None:
    """CreateVolume to DeleteVolume, as external-provisioner, external-resizer and kubelet would call."""
    node = running.nodes[0]
    pod = running.directory / "pods" / VOLUME
    pod.mkdir(parents=True)
    async with connect(node.csi_socket) as client:
        with clock.step("CreateVolume") as done:
            volume = (await _csi(client.controller.CreateVolume(creation(VOLUME, SIZE)))).volume
            done(f"{volume.volume_id}, {format_bytes(volume.capacity_bytes)}")
        await use_volume(clock, client, volume, pod)
        await grow_and_remove(clock, client, pod)


async def use_volume(clock: Clock, client: CsiClient, volume: csi.Volume, pod: Path) -> None:
    """Stage, publish, write, read, ask for statistics."""
    staging, target = str(pod / "staging"), str(pod / "mount")
    with clock.step("NodeStageVolume") as done:
        await _csi(
            client.node.NodeStageVolume(
                csi.NodeStageVolumeRequest(
                    volume_id=VOLUME,
                    staging_target_path=staging,
                    volume_capability=capability(),
                    volume_context=volume.volume_context,
                )
            )
        )
        done("bind mount of the volume's directory")
    with clock.step("NodePublishVolume") as done:
        await _csi(
            client.node.NodePublishVolume(
                csi.NodePublishVolumeRequest(
                    volume_id=VOLUME,
                    staging_target_path=staging,
                    target_path=target,
                    volume_capability=capability(),
                    volume_context=volume.volume_context,
                )
            )
        )
        done("the pod's path")
    with clock.step("write and read a file") as done:
        file = Path(target) / "hello.txt"
        await asyncio.to_thread(file.write_bytes, TEXT)
        if await asyncio.to_thread(file.read_bytes) != TEXT:
            raise DemoError("the file does not hold what was written")
        done(f"{len(TEXT):,} bytes")
    with clock.step("NodeGetVolumeStats") as done:
        stats = await _csi(
            client.node.NodeGetVolumeStats(csi.NodeGetVolumeStatsRequest(volume_id=VOLUME, volume_path=target))
        )
        used = {csi.VolumeUsage.Unit.Name(usage.unit): usage for usage in stats.usage}
        size = used["BYTES"]
        done(f"{format_bytes(size.used)} of {format_bytes(size.total)}, {used['INODES'].used} inodes")


async def grow_and_remove(clock: Clock, client: CsiClient, pod: Path) -> None:
    """Expand on both sides, then take everything back."""
    staging, target = str(pod / "staging"), str(pod / "mount")
    larger = csi.CapacityRange(required_bytes=LARGER)
    with clock.step("ControllerExpandVolume") as done:
        reply = await _csi(
            client.controller.ControllerExpandVolume(
                csi.ControllerExpandVolumeRequest(volume_id=VOLUME, capacity_range=larger)
            )
        )
        done(format_bytes(reply.capacity_bytes))
    with clock.step("NodeExpandVolume") as done:
        expanded = await _csi(
            client.node.NodeExpandVolume(
                csi.NodeExpandVolumeRequest(volume_id=VOLUME, volume_path=target, capacity_range=larger)
            )
        )
        done(format_bytes(expanded.capacity_bytes))
    with clock.step("NodeUnpublishVolume"):
        await _csi(
            client.node.NodeUnpublishVolume(csi.NodeUnpublishVolumeRequest(volume_id=VOLUME, target_path=target))
        )
    with clock.step("NodeUnstageVolume"):
        await _csi(
            client.node.NodeUnstageVolume(csi.NodeUnstageVolumeRequest(volume_id=VOLUME, staging_target_path=staging))
        )
    with clock.step("DeleteVolume") as done:
        await _csi(client.controller.DeleteVolume(csi.DeleteVolumeRequest(volume_id=VOLUME)))
        done("data deleted, space free again")


async def _csi(call: Awaitable[T]) -> T:
    """Await a call, bounded; its error becomes the demo's."""
    try:
        async with timeout(CALL_SECONDS):
            return await call
    except GRPCError as error:
        raise DemoError(f"{error.status.name}: {error.message}") from error
    except TimeoutError:
        raise DemoError(f"no answer within {CALL_SECONDS:.0f} s") from None
