"""The verdict on what programs, kernels and file systems have become."""

import asyncio
import json
import re
import signal
import sys
from typing import Final

from chaos.runner import Runner
from chaos.world import CONTROLLERS
from support.cluster import eventually
from support.guest.node import AGENT, GATEWAY, ROOT

METRICS_PORT: Final = 10443
FETCH: Final = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=10).read().decode())"
"""A guest has the programs of the machine, which need not be many."""
_MOUNT: Final = re.compile(r"^\S+ \S+ \S+ \S+ (\S+) .* - (\S+) (\S+)", re.MULTILINE)


class Machines:
    """Judges nodes, controllers and their logs; each method raises AssertionError or notes a problem."""

    def __init__(self, runner: Runner) -> None:
        self._runner, self._world = runner, runner.world

    # ---- nodes ----------------------------------------------------------------------------------------------------

    async def nothing_mounted(self) -> None:
        for host in self._world.hosts:
            table = (await host.node.hand.read("/proc/self/mountinfo")).decode()
            mounted = sorted(path for path, kind, _ in _MOUNT.findall(table) if kind == "xfs" or "directpv" in path)
            wanted = {f"{ROOT}/mnt/{drive}" for drive in host.drives}
            found = [path for path in mounted if path != f"{ROOT}/tmp"]  # what suspended volumes show
            assert found == sorted(wanted), f"{host.name}: {mounted}"
            assert "directpv-cover" not in table, f"{host.name}: a cover is left:\n{table}"

    async def no_hung_threads(self) -> None:
        for host in self._world.hosts:
            url = f"http://127.0.0.1:{METRICS_PORT}/metrics"
            text = await host.node.hand.run(sys.executable, "-c", FETCH, url)
            hung = re.search(r"^directpv_node_hung_threads\S* (\S+)", text, re.MULTILINE)
            assert hung is not None, text[:500]
            assert float(hung[1]) == 0, f"{host.name}: {hung[1]} threads hang"

    async def agents_end(self) -> None:
        for host in self._world.hosts:
            await host.keep_logs()
            for program in (AGENT, GATEWAY):
                code = await asyncio.wait_for(host.node.end(program, signal.SIGTERM), 60)
                assert code == 0, f"{program} of {host.name} ended with {code}"

    async def sound(self) -> None:
        for host in self._world.hosts:
            for disk, drive in zip(host.disks, host.drives, strict=True):
                await host.node.hand.run("umount", f"{ROOT}/mnt/{drive}")
                held = await host.node.hand.attempt("sh", "-c", f"grep -ls ' /dev/{disk.name} ' /proc/[0-9]*/mountinfo")
                assert not held.out, f"{drive} is mounted by others still: {held.out}"
                done = await host.node.hand.attempt("xfs_repair", "-n", f"/dev/{disk.name}")
                if done.code:
                    self._runner.problem(f"file system of {drive} is damaged: {(done.out + done.err)[-2000:]}")

    # ---- controllers and logs ---------------------------------------------------------------------------------------

    async def leader_consistent(self) -> None:
        leader = await self._world.leader()
        assert leader is not None, "nobody leads"
        self._world.signal(leader, signal.SIGUSR1)

        async def told() -> None:
            assert "invariants checked" in self._world.log(leader), "the leader does not check its memory"

        await eventually(told, "the leader checks its memory", 20)

    async def logs(self) -> None:
        logs = {name: self._world.log(name) for name in (*CONTROLLERS, "gateway")}
        logs |= {f"{host.name} {program}": text for host in self._world.hosts for program, text in host.logs.items()}
        for name, text in logs.items():
            for line in dict.fromkeys(filter(None, map(_surprise, text.splitlines()))):
                self._runner.problem(f"log of {name}: {line}")
        for host in self._world.hosts:
            if "Kernel panic" in host.machine.console:
                self._runner.problem(f"kernel of {host.name} panicked: {host.machine.console[-2000:]}")


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
