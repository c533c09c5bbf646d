"""A QEMU guest: slower than User Mode Linux, but with PCI, and so with NVMe drives that are pulled and put back.

It runs without KVM, on Debian's own kernel. Its root is this machine's root directory, read-only.
"""

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

from support.guest.client import PORT, GuestError, Hand
from support.guest.initramfs import TAG, initramfs
from support.guest.network import Port
from support.guest.qmp import Qmp
from support.guest.uml import make_disk

KERNEL: Final = "qemu-system-x86_64"
BOOT_SECONDS: Final = 240.0
SLOTS: Final = 4
HERE: Final = Path(__file__).resolve().parent
PROJECT: Final = HERE.parents[2]
INTERFACE: Final = "eth0"
PLUG_SECONDS: Final = 60.0


def kernel() -> Path:
    """Return the folder that has ``boot`` and ``lib`` of the guest's kernel; fetched if it is not there yet."""
    script = PROJECT / "scripts/fetch-guest-kernel"
    done = subprocess.run([script], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, f"no kernel for guests: {done.stderr}"
    return Path(done.stdout.strip())


class Qemu:
    """One guest, without disks at first: :meth:`plug` puts NVMe drives in."""

    kernel_name = KERNEL

    def __init__(self, name: str, number: int, directory: Path, devices: tuple[str, ...] = (), memory: int = 768):
        """Describe a guest that is not started yet.

        Args:
            name: Host name, and name of the node.
            number: Of its network card.
            directory: For its console and its own files.
            devices: Further options of QEMU.
            memory: MiB.
        """
        self.name = name
        self.directory = directory
        self.memory = memory
        self.devices = devices
        self.port = Port(number)
        self.hand = Hand(self.port.address)
        self.qmp = Qmp()
        self.plugged: dict[str, int] = {}
        """Serial numbers of NVMe drives, with their slots."""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def console(self) -> str:
        """What the guest's kernel and init said."""
        path = self.directory / f"{self.name}.console"
        return path.read_text(errors="replace") if path.exists() else ""

    async def start(self) -> None:
        """Boot, and wait until its hand answers."""
        tree = await asyncio.to_thread(kernel)
        modules = next((tree / "lib/modules").iterdir())
        self._file("initramfs").write_bytes(await asyncio.to_thread(initramfs, modules))
        self.qmp = Qmp()
        with self._file("qemu").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(tree, modules), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        try:
            async with asyncio.timeout(BOOT_SECONDS):
                await self._until(self._connect)
                await self._until(self._answer)
        except TimeoutError:
            raise AssertionError(f"guest {self.name} did not boot:\n{self.console[-3000:]}") from None

    def _file(self, kind: str) -> Path:
        return self.directory / f"{self.name}.{kind}"

    def _command(self, tree: Path, modules: Path) -> list[str]:
        settings = {
            "name": self.name,
            "interface": INTERFACE,
            "address": self.port.interface_address,
            "modules": modules,
            "python": sys.executable,
            "hand": HERE / "hand.py",
            "port": PORT,
            "init": HERE / "init.sh",
        }
        line = ["console=ttyS0", "quiet", "panic=-1", "net.ifnames=0"]
        return [
            KERNEL, "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", "-smp", "2", "-m", str(self.memory),
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-serial", f"file:{self._file('console')}",
            "-qmp", f"unix:{self._file('qmp')},server=on,wait=off",
            "-kernel", str(next((tree / "boot").glob("vmlinuz-*"))), "-initrd", str(self._file("initramfs")),
            "-append", " ".join((*line, *(f"dpv.{name}={value}" for name, value in settings.items()))),
            "-fsdev", "local,id=root,path=/,security_model=none,readonly=on,multidevs=remap",
            "-device", f"virtio-9p-pci,fsdev=root,mount_tag={TAG}",
            "-netdev", f"tap,id=net,ifname={self.port.name},script=no,downscript=no",
            "-device", "virtio-net-pci,netdev=net,romfile=",
            *(
                word for slot in range(SLOTS)
                for word in ("-device", f"pcie-root-port,id=slot{slot},bus=pcie.0,chassis={slot + 1},slot={slot + 1}")
            ),
            *self.devices,
        ]  # fmt: skip

    async def _until(self, attempt: Callable[[], Awaitable[None]]) -> None:
        """Try until it works, or the guest has ended."""
        while True:
            assert self._process is not None
            if self._process.poll() is not None:
                said = self._file("qemu").read_text(errors="replace")
                raise AssertionError(f"guest {self.name} ended while booting:\n{said}{self.console[-3000:]}")
            with contextlib.suppress(OSError, GuestError, TimeoutError):
                return await attempt()
            await asyncio.sleep(0.1)

    async def _connect(self) -> None:
        await self.qmp.connect(self._file("qmp"))

    async def _answer(self) -> None:
        async with asyncio.timeout(5):
            await self.hand.run("true")

    # ---- NVMe drives --------------------------------------------------------------------------------------------

    def disk(self, serial: str) -> Path:
        """Return the file of the drive of that serial number; made if there is none."""
        path = self._file(f"{serial}.img")
        return path if path.exists() else make_disk(path)

    async def plug(self, serial: str) -> str:
        """Put a drive into a free slot, and return its kernel name."""
        slot = next(slot for slot in range(SLOTS) if slot not in self.plugged.values())
        await self.qmp.do(
            "blockdev-add", node_name=serial, driver="raw", file={"driver": "file", "filename": str(self.disk(serial))}
        )
        await self.qmp.do("device_add", driver="nvme", id=serial, serial=serial, drive=serial, bus=f"slot{slot}")
        self.plugged[serial] = slot
        return await self.device(serial)

    async def device(self, serial: str) -> str:
        """Wait until the drive is there, and return its kernel name."""
        script = f"""
        for i in $(seq 300); do
            for disk in /sys/block/nvme*; do
                [ "$(cat $disk/device/serial 2>/dev/null | tr -d ' ')" = {serial} ] && basename $disk && exit 0
            done
            sleep 0.1
        done
        exit 1
        """
        return await self.hand.sh(script)

    async def pull(self, serial: str) -> None:
        """Take a drive out, mounted or not."""
        await self.qmp.do("device_del", id=serial)
        await self.qmp.event("DEVICE_DELETED", PLUG_SECONDS, device=serial)
        del self.plugged[serial]
        await self.qmp.do("blockdev-del", node_name=serial)

    async def warn(self, serial: str, bits: int) -> None:
        """Set the critical warning that the drive's health log shows; 0: it is well."""
        await self.qmp.do(
            "qom-set", path=f"/machine/peripheral/{serial}", property="smart_critical_warning", value=bits
        )

    # ---- the end ------------------------------------------------------------------------------------------------

    def kill(self) -> None:
        """Cut the power; put drives in again after the next start."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            self._process.wait(30)
            self._process = None
            self.plugged.clear()

    def close(self) -> None:
        """End it, and take its network card away."""
        self.kill()
        self.port.close()
