"""After the chaos: everything is mended, so it must come to order, and everything acknowledged must be there."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from chaos.host import Host
from chaos.machines import Machines
from chaos.model import Volume, missing_files, wrong_content
from chaos.operations import CONTAINER, FAILED, Bug, NotAnswered
from chaos.runner import Runner
from chaos.world import SECTOR
from directpv_common.protocol.api import Controller
from directpv_common.protocol.messages import ChangeDrive, ChangeVolume, DriveInfo, DriveStatus, VolumeInfo
from directpv_common.protocol.names import is_suspended
from support.cluster import broken_invariants, eventually, everything
from support.guest.node import ROOT

ORDER_SECONDS: Final = 120.0
CALL_SECONDS: Final = 60.0
AT_ONCE: Final = 4


class Verdict:
    """Judges a run that has ended."""

    def __init__(self, runner: Runner) -> None:
        self._runner, self._world, self._operations = runner, runner.world, runner.operations

    async def judge(self) -> None:
        """Wait for order and look at everything; what is wrong is noted with the runner."""
        machines = Machines(self._runner)
        steps: dict[str, Callable[[], Awaitable[object]]] = {
            "pods can be restarted": self._restart_pods,
            "every drive is Ready": self._all_ready,
            "what is suspended can be resumed": self._resume,
            "unanswered calls can be repeated": self._repeat,
            "registry and drives agree": self._agree,
            "what was written is there": self._read_all,
            "nothing is left mounted": machines.nothing_mounted,
            "no drive has a condition": self._no_conditions,
            "drives are as large as their disks": self._grown,
            "no thread hangs": machines.no_hung_threads,
            "the leader's memory is consistent": machines.leader_consistent,
            "agents end when told": machines.agents_end,
            "file systems are sound": machines.sound,
            "nobody was taken by surprise": machines.logs,
        }
        for what, step in steps.items():
            before = len(self._runner.problems)
            try:
                await step()
            except (AssertionError, NotAnswered, Bug, *FAILED) as error:
                await self._runner.explained(f"not so: {what}: {str(error) or repr(error)}")
            if len(self._runner.problems) == before:
                self._runner.say(f"holds: {what}")

    async def _restart_pods(self) -> None:
        for host in self._world.hosts:
            done = await host.node.hand.attempt("pkill", "-KILL", "-f", f"^{CONTAINER}$")
            assert done.code in (0, 1), done

    async def _resume(self) -> None:
        """Resume what nobody could resume during the chaos."""
        drives, volumes = await everything(self._world.bus)
        for drive in drives:
            if is_suspended(drive.record.labels):
                change = ChangeDrive(fsuuid=drive.record.fsuuid, suspended=False)
                await self._world.bus.call(Controller.DRIVE_CHANGE, change)
        for volume in volumes:
            if is_suspended(volume.record.labels):
                await self._world.bus.call(
                    Controller.VOLUME_CHANGE, ChangeVolume(name=volume.record.name, suspended=False)
                )

    # ---- the registry -----------------------------------------------------------------------------------------------

    async def _all_ready(self) -> None:
        wanted = {drive: host.name for host in self._world.hosts for drive in host.drives}

        async def ready() -> None:
            drives, _ = await everything(self._world.bus)
            known = {drive.record.fsuuid: drive.record.node for drive in drives}
            assert known == wanted, f"{known} is not {wanted}"
            states = {drive.record.fsuuid: drive.record for drive in drives}
            bad = {fsuuid: r for fsuuid, r in states.items() if r.status is not DriveStatus.READY or not r.device}
            assert not bad, bad

        await eventually(ready, "every drive is Ready on its node", ORDER_SECONDS)

    async def _repeat(self) -> None:
        """Repeat what was not answered, as the sidecars would: either outcome is fine, none in between is.

        What a registry alone knew is lost with it: a volume that never came to its drive comes back with its pods, and
        one whose deletion never did is there again.
        """
        for volume in self._runner.volumes.values():
            if volume.may_return or (volume.delete_asked and not volume.deleted):
                await self._operations.delete(volume, CALL_SECONDS)
            elif volume.unsure and volume.exists:
                if volume.in_use and not volume.started:
                    await self._operations.stop(volume, CALL_SECONDS)
                await self._operations.start(volume, CALL_SECONDS)
            elif not volume.created:
                try:
                    await self._operations.create(volume, 5)
                except NotAnswered as error:
                    if "RESOURCE_EXHAUSTED" not in str(error):
                        raise
                    await self._operations.delete(volume, CALL_SECONDS)

    async def _agree(self) -> None:
        wanted = {volume.name: volume for volume in self._runner.volumes.values() if volume.exists}

        async def agree() -> tuple[list[DriveInfo], list[VolumeInfo]]:
            drives, volumes = await everything(self._world.bus)
            broken = broken_invariants(drives, volumes)
            assert not broken, broken
            twice = {volume.name for volume in self._runner.volumes.values() if volume.twice}
            registered: dict[str, list[str]] = {drive.record.fsuuid: [] for drive in drives}
            for info in volumes:
                registered[info.record.fsuuid] += {info.record.name} - twice
            on_drives: dict[str, list[str]] = {}
            for host in self._world.hosts:
                on_drives |= await _directories(host, without=twice)
            listed = {fsuuid: sorted(names) for fsuuid, names in registered.items()}
            assert on_drives == listed, f"on the drives: {on_drives}; in the registry: {listed}"
            places = {info.record.name: info.record.fsuuid for info in volumes}
            known = {name: volume.drive for name, volume in wanted.items()}
            for name in twice - known.keys():
                places.pop(name, None)
            assert places == known, f"in the registry: {places}; acknowledged: {known}"
            small = {info.record.name: info.record.capacity for info in volumes
                     if info.record.name in wanted
                     and info.record.capacity < wanted[info.record.name].capacity}  # fmt: skip
            assert not small, f"smaller than acknowledged: {small}"
            return drives, volumes

        _, volumes = await eventually(agree, "registry and drives agree", ORDER_SECONDS)
        for info in volumes:
            if info.record.name in wanted:
                wanted[info.record.name].capacity = info.record.capacity

    # ---- volumes ------------------------------------------------------------------------------------------------

    async def _read_all(self) -> None:
        """Use every volume once more, from the disk and not from memory."""
        for host in self._world.hosts:
            await host.node.hand.sh("sync; echo 3 > /proc/sys/vm/drop_caches")
        turns = asyncio.Semaphore(AT_ONCE)

        async def use(volume: Volume) -> None:
            async with turns:
                try:
                    await self._use(volume)
                except (AssertionError, NotAnswered, Bug, *FAILED) as error:
                    await self._runner.explained(f"{volume.name} on {volume.drive} cannot be used: {error!r}")

        await asyncio.gather(*(use(volume) for volume in self._runner.volumes.values() if volume.exists))

    async def _use(self, volume: Volume) -> None:
        if volume.in_use and not (volume.started and volume.served):
            await self._operations.stop(volume, CALL_SECONDS)
        await self._operations.start(volume, CALL_SECONDS)
        done, found = await self._operations.read(volume)
        assert done.code == 0, done
        for text in wrong_content(volume, found) + missing_files(volume, found):
            self._runner.problem(text)
        assert (await self._operations.write(volume, "last", 4096)).code == 0
        await eventually(lambda: self._said_to_be_well(volume), f"{volume.name} is said to be well", ORDER_SECONDS)
        size, _ = await self._operations.kubelet(volume).space()
        assert volume.capacity <= size <= max(volume.capacity, volume.wanted), f"{size} is not {volume.capacity}"
        await self._operations.stop(volume, CALL_SECONDS)

    async def _said_to_be_well(self, volume: Volume) -> None:
        """A warning that its drive was slow is true on a busy machine, and ends."""
        assert await self._operations.stats(volume), "it is said to be abnormal"

    async def _no_conditions(self) -> None:
        async def none() -> None:
            drives, _ = await everything(self._world.bus)
            said = {drive.record.fsuuid: drive.record.conditions for drive in drives if drive.record.conditions}
            assert not said, said

        await eventually(none, "no drive has a condition", ORDER_SECONDS)

    async def _grown(self) -> None:
        sizes = {
            drive: disk.length * SECTOR
            for host in self._world.hosts
            for disk, drive in zip(host.disks, host.drives, strict=True)
        }

        async def grown() -> None:
            drives, _ = await everything(self._world.bus)
            known = {drive.record.fsuuid: drive.record.total for drive in drives}
            wrong = {drive: (known.get(drive), size) for drive, size in sizes.items() if known.get(drive) != size}
            assert not wrong, f"total of drive, size of disk: {wrong}"

        await eventually(grown, "drives are as large as their disks", ORDER_SECONDS)


async def _directories(host: Host, without: set[str]) -> dict[str, list[str]]:
    """Return the volume directories on each drive of a node, remains of deleted volumes included, but for those."""
    found = {}
    for drive in host.drives:
        path = f"{ROOT}/mnt/{drive}"
        names = (await host.node.hand.run("ls", f"{path}/.FSUUID.{drive}/")).split()
        kept = f"{path}/.directpv/volumes"  # made with the drive's first volume
        records = (await host.node.hand.sh(f"[ ! -e {kept} ] || ls {kept}")).split()
        assert sorted(records) == sorted(f"{name}.json" for name in names), f"{drive}: {names} but records {records}"
        found[drive] = sorted(set(names) - without)
    return found
