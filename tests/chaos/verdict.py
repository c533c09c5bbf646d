"""After the chaos: everything is mended, so it must come to order, and everything acknowledged must be there."""

import asyncio
import json
import re
import signal
from collections.abc import Awaitable, Callable
from typing import Final

from chaos.model import Volume, missing_files, wrong_content
from chaos.operations import CONTAINER, FAILED, Bug, NotAnswered
from chaos.runner import Runner
from chaos.world import CONTROLLERS, Host
from directpv_common.messages import DriveInfo, DriveStatus, VolumeInfo
from support.cluster import broken_invariants, eventually, everything
from support.guest.node import AGENT, GATEWAY, ROOT

ORDER_SECONDS: Final = 120.0
CALL_SECONDS: Final = 60.0
METRICS_PORT: Final = 10443
AT_ONCE: Final = 4
_MOUNT: Final = re.compile(r"^\S+ \S+ \S+ \S+ (\S+) .* - (\S+) (\S+)", re.MULTILINE)


class Verdict:
    """Judges a run that has ended."""

    def __init__(self, runner: Runner) -> None:
        self._runner, self._world, self._operations = runner, runner.world, runner.operations

    async def judge(self) -> None:
        """Wait for order and look at everything; what is wrong is noted with the runner."""
        steps: dict[str, Callable[[], Awaitable[object]]] = {
            "pods can be restarted": self._restart_pods,
            "every drive is Ready": self._all_ready,
            "unanswered calls can be repeated": self._repeat,
            "registry and drives agree": self._agree,
            "what was written is there": self._read_all,
            "nothing is left mounted": self._nothing_mounted,
            "no drive has a condition": self._no_conditions,
            "no thread hangs": self._no_hung_threads,
            "the leader's memory is consistent": self._leader_consistent,
            "agents end when told": self._agents_end,
            "file systems are sound": self._sound,
            "nobody was taken by surprise": self._logs,
        }
        for what, step in steps.items():
            before = len(self._runner.problems)
            try:
                await step()
            except (AssertionError, NotAnswered, Bug, *FAILED) as error:
                self._runner.problem(f"not so: {what}: {str(error) or repr(error)}")
            if len(self._runner.problems) == before:
                self._runner.say(f"holds: {what}")

    async def _restart_pods(self) -> None:
        for host in self._world.hosts:
            done = await host.node.hand.attempt("pkill", "-KILL", "-f", f"^{CONTAINER}$")
            assert done.code in (0, 1), done

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
        """Repeat what was not answered, as the sidecars would: either outcome is fine, none in between is."""
        for volume in self._runner.volumes.values():
            if volume.delete_asked and not volume.deleted:
                await self._operations.delete(volume, CALL_SECONDS)
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
            registered: dict[str, list[str]] = {drive.record.fsuuid: [] for drive in drives}
            for info in volumes:
                registered[info.record.fsuuid].append(info.record.name)
            on_drives: dict[str, list[str]] = {}
            for host in self._world.hosts:
                on_drives |= await _directories(host)
            listed = {fsuuid: sorted(names) for fsuuid, names in registered.items()}
            assert on_drives == listed, f"on the drives: {on_drives}; in the registry: {listed}"
            places = {info.record.name: info.record.fsuuid for info in volumes}
            known = {name: volume.drive for name, volume in wanted.items()}
            assert places == known, f"in the registry: {places}; acknowledged: {known}"
            small = {info.record.name: info.record.capacity for info in volumes
                     if info.record.capacity < wanted[info.record.name].capacity}  # fmt: skip
            assert not small, f"smaller than acknowledged: {small}"
            return drives, volumes

        _, volumes = await eventually(agree, "registry and drives agree", ORDER_SECONDS)
        for info in volumes:
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
                    self._runner.problem(f"{volume.name} on {volume.drive} cannot be used: {error!r}")

        await asyncio.gather(*(use(volume) for volume in self._runner.volumes.values() if volume.exists))

    async def _use(self, volume: Volume) -> None:
        if volume.in_use and not volume.started:
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

    # ---- nodes ----------------------------------------------------------------------------------------------------

    async def _nothing_mounted(self) -> None:
        for host in self._world.hosts:
            table = (await host.node.hand.read("/proc/self/mountinfo")).decode()
            mounted = sorted(path for path, kind, _ in _MOUNT.findall(table) if kind == "xfs" or "directpv" in path)
            wanted = {f"{ROOT}/mnt/{drive}" for drive in host.drives}
            found = [path for path in mounted if path != f"{ROOT}/tmp"]  # what suspended volumes show
            assert found == sorted(wanted), f"{host.name}: {mounted}"
            assert "directpv-cover" not in table, f"{host.name}: a cover is left:\n{table}"

    async def _no_conditions(self) -> None:
        async def none() -> None:
            drives, _ = await everything(self._world.bus)
            said = {drive.record.fsuuid: drive.record.conditions for drive in drives if drive.record.conditions}
            assert not said, said

        await eventually(none, "no drive has a condition", ORDER_SECONDS)

    async def _no_hung_threads(self) -> None:
        for host in self._world.hosts:
            url = f"http://127.0.0.1:{METRICS_PORT}/metrics"
            text = await host.node.hand.run("curl", "-sS", "--max-time", "10", url)
            hung = re.search(r"^directpv_node_hung_threads\S* (\S+)", text, re.MULTILINE)
            assert hung is not None, text[:500]
            assert float(hung[1]) == 0, f"{host.name}: {hung[1]} threads hang"

    async def _agents_end(self) -> None:
        for host in self._world.hosts:
            await host.keep_logs()
            for program in (AGENT, GATEWAY):
                code = await asyncio.wait_for(host.node.end(program, signal.SIGTERM), 60)
                assert code == 0, f"{program} of {host.name} ended with {code}"

    async def _sound(self) -> None:
        for host in self._world.hosts:
            for disk, drive in zip(host.disks, host.drives, strict=True):
                await host.node.hand.run("umount", f"{ROOT}/mnt/{drive}")
                held = await host.node.hand.attempt("sh", "-c", f"grep -ls ' /dev/{disk.name} ' /proc/[0-9]*/mountinfo")
                assert not held.out, f"{drive} is mounted by others still: {held.out}"
                done = await host.node.hand.attempt("xfs_repair", "-n", f"/dev/{disk.name}")
                if done.code:
                    self._runner.problem(f"file system of {drive} is damaged: {(done.out + done.err)[-2000:]}")

    # ---- controllers and logs ---------------------------------------------------------------------------------------

    async def _leader_consistent(self) -> None:
        leader = await self._world.leader()
        assert leader is not None, "nobody leads"
        self._world.signal(leader, signal.SIGUSR1)

        async def told() -> None:
            assert "invariants checked" in self._world.log(leader), "the leader does not check its memory"

        await eventually(told, "the leader checks its memory", 20)

    async def _logs(self) -> None:
        logs = {name: self._world.log(name) for name in (*CONTROLLERS, "gateway")}
        logs |= {f"{host.name} {program}": text for host in self._world.hosts for program, text in host.logs.items()}
        for name, text in logs.items():
            for line in dict.fromkeys(filter(None, map(_surprise, text.splitlines()))):
                self._runner.problem(f"log of {name}: {line}")
        for host in self._world.hosts:
            if "Kernel panic" in host.machine.console:
                self._runner.problem(f"kernel of {host.name} panicked: {host.machine.console[-2000:]}")


async def _directories(host: Host) -> dict[str, list[str]]:
    """Return the volume directories on each drive of a node, remains of deleted volumes included."""
    found = {}
    for drive in host.drives:
        path = f"{ROOT}/mnt/{drive}"
        names = (await host.node.hand.run("ls", f"{path}/.FSUUID.{drive}/")).split()
        records = (await host.node.hand.run("ls", f"{path}/.directpv/volumes")).split()
        assert sorted(records) == sorted(f"{name}.json" for name in names), f"{drive}: {names} but records {records}"
        found[drive] = sorted(names)
    return found


def _surprise(line: str) -> str:
    """Return what a line of a log tells that nobody foresaw; empty if it tells nothing of the kind."""
    try:
        record = json.loads(line)
    except ValueError:
        return line if "Traceback" in line or "Error" in line else ""
    if "exception" in record:
        return f"{record['message']}: {record['exception']}"
    violated = record.get("message") in ("invariant violated", "registry is inconsistent")
    return f"{record['message']}: {record.get('what')}" if violated else ""
