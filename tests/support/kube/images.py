"""Images that nodes start with: imported once into a disk, of which each node has a copy on write."""

import hashlib
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from support.guest import tether
from support.guest.uml import make_disk
from support.kube import programs
from support.kube.programs import TOP

CACHE: Final = TOP / ".cache" / "nodes"
SIZE: Final = 8 << 30
_BUILD_SECONDS: Final = 1800
_FILL_SECONDS: Final = 600
_SCRIPT: Final = Path(__file__).with_name("store.sh")


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


def store(archives: list[Path]) -> Store:
    """Return a store with these archives; makes it unless it was made before."""
    CACHE.mkdir(parents=True, exist_ok=True)
    disk = CACHE / f"{_fingerprint(archives)}.img"
    if not disk.exists():
        part = make_disk(disk.with_suffix(f".{os.getpid()}"), SIZE)
        try:
            _fill(part, archives)
            part.rename(disk)
        finally:
            part.unlink(missing_ok=True)
        _forget_old(disk)
    return Store(disk)


def _fingerprint(archives: list[Path]) -> str:
    """Tell stores apart by how they are filled, and by what the images were built from."""
    built_from = (archive.with_suffix(".built-from") for archive in archives)
    found = hashlib.sha256(_SCRIPT.read_bytes())
    for file in built_from:
        found.update(f"{file.name} {file.read_text()}\n".encode())
    return found.hexdigest()[:16]


def _forget_old(disk: Path, keep: int = 3) -> None:
    """Keep the newest: nodes of another run may still use the one before."""
    disks = sorted(CACHE.glob("*.img"), key=lambda path: path.stat().st_mtime, reverse=True)
    for old in disks[keep:]:
        if old != disk:
            old.unlink()


def _fill(disk: Path, archives: list[Path]) -> None:
    with tempfile.TemporaryDirectory(prefix="directpv-store-") as work:
        process = tether.start(
            ("unshare", "--mount", _SCRIPT, disk, programs.kubernetes(), work, *archives),
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            said, _ = process.communicate(timeout=_FILL_SECONDS)
            assert not process.returncode, f"no disk with images:\n{said.decode(errors='replace')}"
        finally:
            tether.kill(process)
