"""What stands where on a drive: names, contents, project ids.

Source: facts of upstream v4 (paths, ``meta.info``, project id) that existing drives rely on; ``drive.json`` and
``volumes/`` are ours, and upstream ignores them.

    <drive>/.FSUUID.<fsuuid> -> .          its absence proves that the drive is not mounted
    <drive>/.directpv/                     0750
    <drive>/.directpv/meta.info            0640, whose file system it is
    <drive>/.directpv/drive.json           DriveRecord
    <drive>/.directpv/volumes/<name>.json  VolumeRecord
    <drive>/.directpv/held/<name>          link whose text is the volume's incarnation: there is, or was, such a volume
    <drive>/.directpv/strays/<name>        link whose text is the drive that has the volume; the copy here is none
    <drive>/.directpv/sealed/<name>        link whose text is a move: all of it was copied, only that move unseals it
    <drive>/.directpv/moved/<name>         link whose text is the drive that the volume was moved to; none is left here
    <drive>/.directpv/incoming/<name>/     copy of a volume of another drive; no volume, until the registry says so
    <drive>/.directpv/.ballast             allocated blocks, given back when a record must be written on a full drive
    <drive>/.directpv/.proof               empty; written now and then, to see whether the drive can be written
    <drive>/<name>/                        0755, data of a volume
    <drive>/<name>.deleted/                data that is being purged, if it has the attribute :data:`RETIRED`
"""

from collections.abc import Collection
from enum import Enum
from typing import Final

from directpv_common.protocol.messages import is_volume_name
from directpv_common.protocol.names import API_VERSION, fsuuid_link, project_id
from directpv_common.protocol.units import KIB, MIB

META_DIR: Final = ".directpv"
META_FILE: Final = "meta.info"
DRIVE_FILE: Final = "drive.json"
PROOF_FILE: Final = ".proof"
BALLAST_FILE: Final = ".ballast"
VOLUMES_DIR: Final = "volumes"
RECORD_SUFFIX: Final = ".json"
DELETED_SUFFIX: Final = ".deleted"


RETIRED: Final = "trusted.directpv.retired"
"""Extended attribute of a directory that is to be destroyed, set before it is renamed: remains without it were made by
others, and are kept. In this namespace XFS takes from its reserve: a full drive must be able to let go of volumes."""


class Mark(Enum):
    """Kinds of marks on names, by their directories in ``.directpv/``."""

    HELD = "held"
    """Made before the record, and taken away after it: without directory, and even without record, data vanished."""
    STRAY = "strays"
    """Made when the leader says that another drive has the volume."""
    SEALED = "sealed"
    """Made when all of the volume was copied to another drive, before anybody hears of it."""
    MOVED = "moved"
    """Made before the data goes that was moved to another drive; kept, for the volume context may name this one."""


INCOMING_DIR: Final = "incoming"
COPIED: Final = "trusted.directpv.copied"
"""Extended attribute of a copy that is complete and compared: the move's id, and the volume's incarnation."""


MNT_DIR: Final = "mnt"
TMP_DIR: Final = "tmp"
PROBE_DIR: Final = "probe"
NUMBERS_DIR: Final = "numbers"
KNOWN_DIR: Final = "known"
COPIES_DIR: Final = "copies"
WIPES_DIR: Final = "wipes"
RETIRED_DIR: Final = "retired"

LEAST_FREE: Final = 16 * MIB
"""Bytes; below that even records and directories of volumes may not find place."""
BALLAST_PIECE: Final = 256 * KIB
"""Bytes that are given back at a time: more than a record, its inode and its place in the directory take."""
_LEAST_BALLAST: Final = 1 * MIB
_MOST_BALLAST: Final = 16 * MIB
_BALLAST_SHARE: Final = 1024

_NO_PROJECT: Final = 0
_LAST_PROJECT: Final = 0xFFFFFFFF
"""(prid_t)-1 stands for "no such project"."""


def symlink_name(fsuuid: str) -> str:
    """Return the name of the link to ``.`` in the root of the drive."""
    return fsuuid_link(fsuuid)


def drive_path(root: str, fsuuid: str) -> str:
    """Return the mount point of a drive below the agent's ``root`` directory."""
    return f"{root}/{MNT_DIR}/{fsuuid}"


def data_path(root: str, fsuuid: str, name: str) -> str:
    """Return the path of a volume's data; it exists only while its drive is mounted."""
    return f"{drive_path(root, fsuuid)}/{symlink_name(fsuuid)}/{name}"


def meta_text(fsuuid: str) -> str:
    """Return the content of ``meta.info``."""
    return f"APP_NAME=directpv\nAPP_VERSION={API_VERSION}\nFSUUID={fsuuid}\n"


def fsuuid_in(meta: str) -> str | None:
    """Return the FSUUID that the text of a ``meta.info`` names, or None if DirectPV did not write it."""
    pairs = dict(line.partition("=")[::2] for line in meta.splitlines())
    if pairs.get("APP_NAME", "").strip() != "directpv":
        return None
    return pairs.get("FSUUID", "").strip().lower() or None


def ballast_size(total: int) -> int:
    """Return the bytes of ballast for a file system of ``total`` bytes: a thousandth of it, 1 to 16 MiB."""
    return min(max(total // _BALLAST_SHARE, _LEAST_BALLAST), _MOST_BALLAST)


def volume_of_record(file_name: str) -> str | None:
    """Return the volume whose record ``file_name`` is, or None if it is no record."""
    name = file_name.removesuffix(RECORD_SUFFIX)
    return name if name != file_name and is_volume_name(name) else None


def volume_of_deleted(directory: str) -> str | None:
    """Return the volume whose remains ``directory`` holds, or None if it is no such directory."""
    name = directory.removesuffix(DELETED_SUFFIX)
    return name if name != directory and is_volume_name(name) else None


def is_later(mark: str, incarnation: str) -> bool:
    """Tell whether ``incarnation`` is surely another volume than the one that a name's mark speaks of.

    Where either is not known it may be the same, and what is gone was its data.
    """
    return bool(mark) and bool(incarnation) and mark != incarnation


def free_project_id(name: str, taken: Collection[int]) -> int:
    """Return the project id for ``name`` on a drive where ``taken`` ids belong to other volumes.

    Two names that share four bytes of SHA-256 would share one quota: the next free id is taken then. 0 and
    2**32 - 1 mean "no project" to XFS.
    """
    number = project_id(name)
    while number in (_NO_PROJECT, _LAST_PROJECT) or number in taken:
        number = (number + 1) & _LAST_PROJECT
    return number


def is_project_of(name: str, number: int, taken: Collection[int]) -> bool:
    """Tell whether ``number`` may stand for ``name`` where ``taken`` ids belong to other volumes."""
    usable = number not in (_NO_PROJECT, _LAST_PROJECT) and number not in taken
    return usable and (number == project_id(name) or project_id(name) in taken)
