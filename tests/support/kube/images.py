"""Images that nodes start with: imported once into a disk, of which each node has a copy on write."""

import hashlib
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from support.guest.client import Hand
from support.guest.pulse import TimerLost
from support.guest.uml import Uml, make_disk
from support.kube import runtime
from support.kube.programs import TOP

CACHE: Final = TOP / ".cache" / "nodes"
SIZE: Final = 8 << 30
_BUILD_SECONDS: Final = 1800
_NUMBER: Final = 200
_MEMORY: Final = 2048


class Store:
    """A disk with the images of a set of archives."""

    def __init__(self, disk: Path) -> None:
        self.disk = disk

    def copy(self, path: Path) -> Path:
        """Return what a guest takes for a disk that has the store's content, and keeps what differs in ``path``."""
        return Path(f"{path},{self.disk}")


def build() -> list[Path]:
    """Build all images that have changed; return their archives."""
    command = [TOP / "scripts" / "build-images"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=_BUILD_SECONDS, text=True)
    folder = Path(done.stdout.strip())
    return sorted(path.with_suffix(".tar") for path in folder.glob("*.built-from"))


async def store(archives: list[Path]) -> Store:
    """Return a store with these archives; makes it unless it was made before. Only in a network of the tests' own."""
    CACHE.mkdir(parents=True, exist_ok=True)
    disk = CACHE / f"{_fingerprint(archives)}.img"
    if not disk.exists():
        part = make_disk(disk.with_suffix(f".{os.getpid()}"), SIZE)
        try:
            try:
                await _fill(part, archives)
            except TimerLost as fault:
                print(f"{fault}; it is started anew", flush=True)
                await _fill(part, archives)
            part.rename(disk)
        finally:
            part.unlink(missing_ok=True)
        _forget_old(disk)
    return Store(disk)


def _fingerprint(archives: list[Path]) -> str:
    found = hashlib.sha256()
    for archive in archives:
        with archive.open("rb") as file:
            found.update(hashlib.file_digest(file, "sha256").digest())
    return found.hexdigest()[:16]


def _forget_old(disk: Path, keep: int = 3) -> None:
    """Keep the newest: nodes of another run may still use the one before."""
    disks = sorted(CACHE.glob("*.img"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in disks[keep:]:
        if old != disk:
            old.unlink()


async def _fill(disk: Path, archives: list[Path]) -> None:
    with tempfile.TemporaryDirectory(prefix="directpv-store-") as directory:
        machine = Uml("store", _NUMBER, Path(directory), [disk], memory=_MEMORY)
        try:
            await machine.start()
            await machine.watched(_import(machine.hand, machine.disk_device(0), archives))
        finally:
            machine.close()


async def _import(hand: Hand, device: str, archives: list[Path]) -> None:
    await hand.run("mkfs.ext4", "-q", "-F", device)
    await runtime.prepare(hand, device, "10.244.255.0/24")
    await runtime.start_containerd(hand)
    for archive in archives:
        await runtime.import_image(hand, archive)
    await hand.signal("containerd", signal.SIGTERM)
    await hand.wait("containerd")
    await hand.sh("for place in /var/lib/* /var/log /run/state; do ! mountpoint -q $place || umount $place; done")
