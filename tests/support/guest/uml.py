"""A User Mode Linux guest: a machine with a kernel of its own, booted from this machine's root directory in seconds.

Its disks are files; what was synced to them survives :meth:`Uml.kill`, which is a power failure.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from support.guest import pulse, tether
from support.guest.client import PORT, Hand
from support.guest.network import Port
from support.guest.pulse import Patience, TestbedFault, TimerLost

KERNEL: Final = "linux.uml"
MODULES: Final = Path("/usr/lib/uml/modules")
BOOT: Final = Patience(ping=1.0, pause=0.05, spin=20.0, idle=120.0, limit=120.0)
"""A guest needs two seconds of processor time to boot."""
BOOTS: Final = 3
"""How often a guest that loses its timer while it boots is started."""
DISK_SIZE: Final = 600 * 1024 * 1024
_WATCH_SECONDS: Final = 5.0
HERE: Final = Path(__file__).resolve().parent
T = TypeVar("T")
_LETTERS: Final = "bcdefghijklmnop"


def make_disk(path: Path, size: int = DISK_SIZE) -> Path:
    """Make an empty disk of ``size`` bytes."""
    with path.open("wb") as file:
        file.truncate(size)
    return path


class Uml:
    """One guest. ``disks`` become ``/dev/ubdb``, ``/dev/ubdc`` and so on."""

    kernel_name = KERNEL

    def __init__(self, name: str, number: int, directory: Path, disks: list[Path], memory: int = 512) -> None:
        """Describe a guest that is not started yet.

        Args:
            name: Host name, and name of the node.
            number: Of its network card.
            directory: For its console and its own files.
            disks: Files, at most 15.
            memory: MiB.
        """
        self.name = name
        self.directory = directory
        self.disks = disks
        self.memory = memory
        self.port = Port(number)
        self.hand = Hand(self.port.address)
        self._process: subprocess.Popen[bytes] | None = None

    def disk_device(self, index: int) -> str:
        """Return the path that disk ``index`` has in the guest."""
        return f"/dev/ubd{_LETTERS[index]}"

    @property
    def console(self) -> str:
        """What the guest's kernel and init said."""
        path = self.directory / f"{self.name}.console"
        return path.read_text(errors="replace") if path.exists() else ""

    async def start(self, patience: Patience = BOOT) -> None:
        """Boot, and wait until its hand answers; boot again if the kernel has lost its timer meanwhile."""
        for left in reversed(range(BOOTS)):
            self._power_on()
            fault = await self.fault(patience)
            if fault is None:
                return
            self.kill()
            if not isinstance(fault, TimerLost) or not left:
                raise TestbedFault(f"{fault}; it was booting:\n{self.console[-3000:]}")
            print(f"{fault}; it is booted again", flush=True)

    def _power_on(self) -> None:
        with (self.directory / f"{self.name}.console").open("ab") as console:
            self._process = tether.start(
                self._command(), stdout=console, stderr=console,
                env={"PATH": os.environ["PATH"], "HOME": str(self.directory), "TMPDIR": _memory_directory()},
            )  # fmt: skip
        powered.add(self)

    async def fault(self, patience: Patience = pulse.PATIENCE) -> TestbedFault | None:
        """Return what is wrong with the machine itself, None if it is well, or has no power or no cable."""
        return await asyncio.to_thread(self.examine, patience)

    def examine(self, patience: Patience = pulse.PATIENCE) -> TestbedFault | None:
        """Do as :meth:`fault` does. Blocks."""
        if self._process is None or not self.port.plugged:
            return None
        return pulse.examine(self.name, self.port.address, self._process, patience)

    async def watched(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work``, which needs the guest; raises TimerLost if that dies meanwhile."""
        task = asyncio.create_task(work)
        try:
            while not (await asyncio.wait({task}, timeout=_WATCH_SECONDS))[0]:
                if isinstance(fault := await self.fault(), TimerLost):
                    raise fault
            return await task
        finally:
            if task.cancel():
                await asyncio.wait({task})

    def _command(self) -> list[str]:
        version = sorted(MODULES.iterdir())[-1]
        settings = {
            "name": self.name,
            "interface": "vec0",
            "address": self.port.interface_address,
            "modules": version,
            "python": sys.executable,
            "hand": HERE / "hand.py",
            "port": PORT,
        }
        return [
            KERNEL,
            f"umid={self.name}-{os.getpid()}",
            f"uml_dir={self.directory}/",
            f"mem={self.memory}M",
            "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro",
            f"init={HERE / 'init.sh'}",
            f"vec0:transport=tap,ifname={self.port.name},depth=128",
            *(f"ubd{_LETTERS[index]}={path}" for index, path in enumerate(self.disks)),
            *(f"dpv.{name}={value}" for name, value in settings.items()),
            "con=null", "con0=null,fd:1", "panic=-1", "quiet",
        ]  # fmt: skip

    @property
    def process_group(self) -> int:
        """Of all processes that it is made of, while it has power."""
        assert self._process is not None
        return self._process.pid

    def signal(self, number: int) -> None:
        """Send a signal to its kernel."""
        os.kill(self.process_group, number)

    def kill(self) -> None:
        """Cut the power."""
        powered.discard(self)
        if self._process is not None:
            tether.kill(self._process)
            self._process = None

    def close(self) -> None:
        """End it, and take its network card away."""
        self.kill()
        self.port.close()


powered: Final = set[Uml]()
"""Guests that run."""


def _memory_directory() -> str:
    """Return where the guest's memory is kept: a file system in memory if there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
