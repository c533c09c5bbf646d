"""A User Mode Linux guest: a machine with a kernel of its own, booted from this machine's root directory in seconds.

Its disks are files; what was synced to them survives :meth:`Uml.kill`, which is a power failure.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

from support.guest.client import PORT, Hand
from support.guest.network import Port

KERNEL: Final = "linux.uml"
MODULES: Final = Path("/usr/lib/uml/modules")
BOOT_SECONDS: Final = 120.0
DISK_SIZE: Final = 600 * 1024 * 1024
HERE: Final = Path(__file__).resolve().parent
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

    async def start(self) -> None:
        """Boot, and wait until its hand answers."""
        with (self.directory / f"{self.name}.console").open("ab") as console:
            self._process = subprocess.Popen(
                self._command(), stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
                env={"PATH": os.environ["PATH"], "HOME": str(self.directory), "TMPDIR": _memory_directory()},
            )  # fmt: skip
        try:
            async with asyncio.timeout(BOOT_SECONDS):
                await self._answers()
        except TimeoutError:
            raise AssertionError(f"guest {self.name} did not boot:\n{self.console[-3000:]}") from None

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

    async def _answers(self) -> None:
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                raise AssertionError(f"guest {self.name} ended while booting:\n{self.console[-3000:]}")
            with contextlib.suppress(OSError, AssertionError):
                async with asyncio.timeout(2):
                    await self.hand.run("true")
                    return
            await asyncio.sleep(0.05)

    def kill(self) -> None:
        """Cut the power."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def close(self) -> None:
        """End it, and take its network card away."""
        self.kill()
        self.port.close()


def _memory_directory() -> str:
    """Return where the guest's memory is kept: a file system in memory if there is one."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else tempfile.gettempdir()
