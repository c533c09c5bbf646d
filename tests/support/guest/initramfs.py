"""What a guest with a kernel of Debian boots first: loads modules, and goes over to this machine's own root directory.

The archive has one static program, busybox, and modules in the order in which they can be loaded.
Source: kernel documentation, ``driver-api/early-userspace/buffer-format``.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

TAG: Final = "root"
"""Mount tag of the folder that is shared with the guest."""
MODULES: Final = (
    "virtio_pci", "virtio_net", "9pnet_virtio", "9p",
    "nvme", "ahci", "virtio_scsi", "sd_mod", "crc32c_generic", "xfs",
)  # fmt: skip
_BUSYBOX: Final = Path("/bin/busybox")
_FOLDER: Final = 0o040755
_PROGRAM: Final = 0o100755
_FILE: Final = 0o100644
_INIT: Final = """\
#!/bin/busybox sh
busybox=/bin/busybox
$busybox mkdir -p /proc /dev /root
$busybox mount -t proc proc /proc
$busybox mount -t devtmpfs dev /dev
for module in {modules}; do $busybox insmod /modules/$module; done
$busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=1048576,cache=loose,ro {tag} /root
init=$($busybox sed -n 's/.*dpv\\.init=\\([^ ]*\\).*/\\1/p' /proc/cmdline)
$busybox umount /proc
$busybox mount -o move /dev /root/dev
exec $busybox switch_root /root "$init"
"""


def initramfs(modules: Path) -> bytes:
    """Return the archive for the kernel whose modules are in the folder ``modules``."""
    files = list(_in_order(modules))
    names = " ".join(Path(file).name for file in files)
    entries = [
        ("bin", _FOLDER, b""),
        ("modules", _FOLDER, b""),
        ("bin/busybox", _PROGRAM, _BUSYBOX.read_bytes()),
        ("init", _PROGRAM, _INIT.format(modules=names, tag=TAG).encode()),
        *((f"modules/{Path(file).name}", _FILE, (modules / file).read_bytes()) for file in files),
    ]
    return b"".join(_entry(*entry) for entry in (*entries, ("TRAILER!!!", 0, b"")))


def _in_order(modules: Path) -> Iterable[str]:
    """Return the files of all modules needed, each after those that it needs itself."""
    needs = dict(_dependencies(modules))
    by_name = {Path(file).name.split(".")[0].replace("-", "_"): file for file in needs}
    chosen: dict[str, None] = {}
    for name in MODULES:
        for file in (*reversed(needs[by_name[name]]), by_name[name]):
            chosen[file] = None
    return chosen


def _dependencies(modules: Path) -> Iterator[tuple[str, list[str]]]:
    for line in (modules / "modules.dep").read_text().splitlines():
        file, _, needed = line.partition(":")
        yield file, needed.split()


def _entry(name: str, mode: int, data: bytes) -> bytes:
    path = name.encode() + b"\0"
    fields = (0, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(path), 0)
    header = b"070701" + "".join(f"{value:08x}" for value in fields).encode() + path
    return _padded(header) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
