"""Stage, publish, unpublish and unstage over CSI, beside the bare system calls, with few and with many other mounts."""

import asyncio
import contextlib
import ctypes
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from bench.client import CAPABILITY, calls, creation
from bench.figures import CROWDED, NODE, Figure, Figures
from bench.measure import Samples, ms, show, us
from directpv_csi_gateway.pb import csi_pb2 as csi
from support.cluster import cluster

ROUNDS: Final = 300
MOUNTS: Final = (0, 2000, 4000)
"""4,000: of 2,000 volumes, each staged and published once."""
KUBELET: Final = "/volumes/kubernetes.io~csi/pvc-0a1b2c3d-4e5f-6789-abcd-ef0123456789/mount"
MS_BIND: Final = 4096
LIBC: Final = ctypes.CDLL(None, use_errno=True)
FLOOR: Final = "NodeGetInfo"
"""gRPC, the bus and a handler that has nothing to do."""
STEPS: Final = ("NodeStageVolume", "NodePublishVolume", "NodeUnpublishVolume", "NodeUnstageVolume")


async def bench(work: Path, url: str) -> Figures:
    """Print a table for each number of mounts; the stack brings a bus of its own."""
    figures = []
    with cluster(nodes=1, drives=1) as running:
        await running.initialise()
        drive = next(Path(running.stack.nodes[0].root, "mnt").iterdir())
        agent = running.stack.process("nodeagent-node-1").pid
        async with calls(running.socket) as call:
            reply = await call("/csi.v1.Controller/CreateVolume", creation("pvc-bench"), csi.CreateVolumeResponse)
            for count in MOUNTS:
                with crowd(work / "crowd", count):
                    before = _bytes_read(agent)
                    samples = await chain(call, reply.volume, work)
                    tables = (_bytes_read(agent) - before) / _table_size(agent) / ROUNDS
                    floor = await asyncio.to_thread(bare, drive / "pvc-bench", work)
                _show(count, samples, floor, tables)
                whole, least = (sum(_p50(each[name]) for name in STEPS) for each in (samples, floor))
                figures.append(Figure(CROWDED if count else NODE, whole, least))
    return figures


def _bytes_read(pid: int) -> int:
    """Bytes that a process has read so far, from wherever. Source: proc(5), ``rchar``."""
    return int(Path(f"/proc/{pid}/io").read_text().split()[1])


def _table_size(pid: int) -> int:
    return len(Path(f"/proc/{pid}/mountinfo").read_bytes())


def _show(count: int, samples: dict[str, Samples], floor: dict[str, Samples], tables: float) -> None:
    rows = [
        [name, ms(samples[name].p50), ms(samples[name].p99), us(floor[name].p50), us(floor[name].p99)] for name in STEPS
    ]
    whole = [sum(pick(samples[name]) for name in STEPS) for pick in (_p50, _p99)]
    base = [sum(pick(floor[name]) for name in STEPS) for pick in (_p50, _p99)]
    rows.append(["all four", *map(ms, whole), *map(us, base)])
    rows.append([f"floor: {FLOOR}", ms(samples[FLOOR].p50), ms(samples[FLOOR].p99), "", ""])
    if count:
        rows.append(["mount tables read per life", f"{tables:.2f}", "", "", ""])
    title = f"A volume on its node: gRPC → gateway → bus → agent → mount, beside {count:,} mounts of others"
    show(title, ["", "p50", "p99", "bare p50", "bare p99"], rows)


@contextlib.contextmanager
def crowd(place: Path, count: int) -> Iterator[None]:
    """Have ``count`` mounts of others, with paths as kubelet makes them, while the block runs."""
    place.mkdir()
    source, paths = place / "source", [place / f"{number}{KUBELET}" for number in range(count)]
    source.mkdir()
    made: list[Path] = []
    try:
        for path in paths:
            path.mkdir(parents=True)
            _mount(source, path)
            made.append(path)
        yield
    finally:
        for path in made:
            _umount(path)
        shutil.rmtree(place)


def _p50(samples: Samples) -> float:
    return samples.p50


def _p99(samples: Samples) -> float:
    return samples.p99


async def chain(call: object, volume: csi.Volume, work: Path) -> dict[str, Samples]:
    """Time the four calls, round after round."""
    staging, target = str(work / "staging"), str(work / "target")
    common = {"volume_id": volume.volume_id}
    full = {**common, "staging_target_path": staging, "volume_capability": CAPABILITY}
    requests = {
        "NodeStageVolume": csi.NodeStageVolumeRequest(**full, volume_context=volume.volume_context),
        "NodePublishVolume": csi.NodePublishVolumeRequest(
            **full, target_path=target, volume_context=volume.volume_context
        ),
        "NodeUnpublishVolume": csi.NodeUnpublishVolumeRequest(**common, target_path=target),
        "NodeUnstageVolume": csi.NodeUnstageVolumeRequest(**common, staging_target_path=staging),
    }
    seconds: dict[str, list[float]] = {name: [] for name in (*STEPS, FLOOR)}
    requests[FLOOR] = csi.NodeGetInfoRequest()
    for number in range(ROUNDS + 10):
        for name in seconds:
            begun = time.perf_counter()
            await call(f"/csi.v1.Node/{name}", requests[name], getattr(csi, f"{name}Response"))  # type: ignore[operator]
            if number >= 10:
                seconds[name].append(time.perf_counter() - begun)
    return {name: Samples(tuple(taken), sum(taken)) for name, taken in seconds.items()}


def bare(source: Path, work: Path) -> dict[str, Samples]:
    """Time what the kernel must do at least: a directory and a bind mount, and both undone."""
    staging, target = work / "bare-staging", work / "bare-target"
    staging.mkdir(exist_ok=True)
    steps = {
        "NodeStageVolume": lambda: _mount(source, staging),
        "NodePublishVolume": lambda: (target.mkdir(), _mount(staging, target)),
        "NodeUnpublishVolume": lambda: (_umount(target), target.rmdir()),
        "NodeUnstageVolume": lambda: _umount(staging),
    }
    seconds: dict[str, list[float]] = {name: [] for name in STEPS}
    for _ in range(ROUNDS):
        for name in STEPS:
            begun = time.perf_counter()
            steps[name]()
            seconds[name].append(time.perf_counter() - begun)
    return {name: Samples(tuple(taken), sum(taken)) for name, taken in seconds.items()}


def _mount(source: Path, target: Path) -> None:
    _checked(LIBC.mount(os.fsencode(source), os.fsencode(target), None, MS_BIND, None))


def _umount(target: Path) -> None:
    _checked(LIBC.umount2(os.fsencode(target), 0))


def _checked(status: int) -> None:
    if status:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
