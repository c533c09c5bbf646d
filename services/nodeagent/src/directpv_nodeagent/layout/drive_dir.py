"""One mounted drive as a directory: its identity, its records, its volumes. Blocks: call it in an executor.

Every path is opened below the drive's own descriptor, one checked component at a time, so nothing outside of the
drive can be reached, whatever a name or a link says.
"""

import contextlib
import errno
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from typing import Final, TypeVar

from directpv_common.protocol.errors import DriveFault, InvalidRequest
from directpv_common.protocol.messages import DriveRecord, Message, VolumeRecord, is_volume_name
from directpv_common.protocol.wire import decode, encode_pretty
from directpv_nodeagent.layout import ballast
from directpv_nodeagent.layout.core import layout
from directpv_nodeagent.linux import files

log = logging.getLogger(__name__)
R = TypeVar("R", bound=Message)

_META_MODE: Final = 0o750
_FILE_MODE: Final = 0o640
_VOLUME_MODE: Final = 0o755
_RETIRE_TRIES: Final = 3
SHORTAGES: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Not what a damaged file or directory says."""


class DriveDir:
    """The root directory of one mounted drive; made by :func:`open_drive`."""

    def __init__(self, root: int, fsuuid: str, path: str) -> None:
        self.root = root
        self.fsuuid = fsuuid
        self.path = path

    @property
    def device(self) -> str:
        """``major:minor`` of the mounted file system."""
        number = os.fstat(self.root).st_dev
        return f"{os.major(number)}:{os.minor(number)}"

    # ---- identity -----------------------------------------------------------------------------------------------

    def is_laid_out(self) -> bool:
        """Tell whether the drive's root has the link that proves that the drive is mounted."""
        try:
            return os.readlink(layout.symlink_name(self.fsuuid), dir_fd=self.root) == "."
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINVAL):
                return False
            raise

    def has_traces(self) -> bool:
        """Tell whether there is anything that only DirectPV makes."""
        return any(
            name == layout.META_DIR or name == layout.symlink_name(self.fsuuid) for name in os.listdir(self.root)
        )

    def named_fsuuid(self) -> str | None:
        """Return the FSUUID in ``meta.info``, or None if there is no ``meta.info`` of DirectPV."""
        try:
            with files.opened(layout.META_DIR, self.root) as meta:
                data = files.read_file(layout.META_FILE, meta)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
                return None
            raise
        return None if data is None else layout.fsuuid_in(data.decode(errors="replace"))

    def record(self) -> DriveRecord | None:
        """Return ``drive.json``, or None if there is none.

        Raises:
            DriveFault: It cannot be understood; whose drive this is, is unknown then.
        """
        with files.opened(layout.META_DIR, self.root) as meta:
            data = files.read_file(layout.DRIVE_FILE, meta)
        if data is None:
            return None
        try:
            return decode(data, DriveRecord)
        except InvalidRequest as error:
            raise DriveFault(f"{self.fsuuid}: {layout.META_DIR}/{layout.DRIVE_FILE}: {error.message}") from error

    def write_layout(self) -> None:
        """Make symbolic link, ``.directpv/`` and ``meta.info``, in that order; what is there stays."""
        ballast.with_room(self.root, self._write_layout)

    def _write_layout(self) -> None:
        if not self.is_laid_out():
            os.symlink(".", layout.symlink_name(self.fsuuid), dir_fd=self.root)
        files.make_directory(layout.META_DIR, self.root, _META_MODE)
        with files.opened(layout.META_DIR, self.root) as meta:
            if files.read_file(layout.META_FILE, meta) is None:
                files.write_file(layout.META_FILE, meta, layout.meta_text(self.fsuuid).encode(), _FILE_MODE)
        os.fsync(self.root)

    def write_record(self, record: DriveRecord) -> None:
        """Replace ``drive.json``, durably."""
        data = encode_pretty(record)
        with files.opened(layout.META_DIR, self.root) as meta:
            ballast.with_room(self.root, lambda: files.write_file(layout.DRIVE_FILE, meta, data, _FILE_MODE))

    # ---- records of volumes -------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def records(self) -> Iterator[int]:
        """Open the directory of records, made if it is missing."""
        with files.opened(layout.META_DIR, self.root) as meta:
            if ballast.with_room(self.root, lambda: files.make_directory(layout.VOLUMES_DIR, meta, _META_MODE)):
                os.fsync(meta)
            with files.opened(layout.VOLUMES_DIR, meta) as directory:
                yield directory

    def read_volumes(self) -> dict[str, VolumeRecord]:
        """Return all records by name; one that cannot be understood is logged and left alone. Makes nothing."""
        try:
            with files.opened(layout.META_DIR, self.root) as meta, files.opened(layout.VOLUMES_DIR, meta) as directory:
                files.remove_leftovers(directory)
                names = [name for name in map(layout.volume_of_record, os.listdir(directory)) if name]
                found = {name: self._read_volume(name, directory) for name in names}
        except FileNotFoundError:
            return {}
        return {name: record for name, record in found.items() if record is not None}

    def _read_volume(self, name: str, directory: int) -> VolumeRecord | None:
        try:
            data = files.read_file(f"{name}{layout.RECORD_SUFFIX}", directory)
            record = None if data is None else decode(data, VolumeRecord)
        except InvalidRequest as error:
            log.error("record unreadable", extra={"drive": self.fsuuid, "volume": name, "error": error.message})
            return None
        except OSError as error:
            if error.errno in SHORTAGES:
                raise
            os.fstat(self.root)  # raises if it is the drive that failed
            log.error("record unreadable", extra={"drive": self.fsuuid, "volume": name, "error": str(error)})
            return None
        if record is not None and (record.name, record.fsuuid) != (name, self.fsuuid):
            log.error("record of another volume", extra={"drive": self.fsuuid, "volume": name, "names": record.name})
            return None
        return record

    def write_volume(self, record: VolumeRecord, directory: int, *, sync_parent: bool = True) -> None:
        """Replace the record of a volume, unless it is the same; ``directory`` is from :meth:`records`."""
        name, data = f"{checked(record.name)}{layout.RECORD_SUFFIX}", encode_pretty(record)
        if not _has(name, directory, data):
            ballast.with_room(
                self.root, lambda: files.write_file(name, directory, data, _FILE_MODE, sync_parent=sync_parent)
            )
        elif sync_parent:
            os.fsync(directory)  # who wrote it may have been killed before it did

    def remove_record(self, name: str) -> None:
        """Remove the record of a volume, durably; missing is fine."""
        with self.records() as directory:
            files.remove_file(f"{checked(name)}{layout.RECORD_SUFFIX}", directory)

    # ---- directories of volumes ---------------------------------------------------------------------------------

    def volume_names(self) -> list[str]:
        """Return the directories in the root that could be volumes, whether or not they have a record."""
        return [entry.name for entry in self._directories() if is_volume_name(entry.name)]

    def deleted_names(self) -> list[str]:
        """Return the volumes of which remains wait to be purged."""
        names = map(layout.volume_of_deleted, (entry.name for entry in self._directories()))
        return [name for name in names if name is not None]

    def _directories(self) -> list[os.DirEntry[str]]:
        with os.scandir(self.root) as entries:
            return [entry for entry in entries if entry.is_dir(follow_symlinks=False)]

    def make_volume(self, name: str) -> bool:
        """Make the directory of a volume, root's, 0755; tell whether it is new. The root is not synced."""
        checked(name)
        return ballast.with_room(self.root, lambda: files.make_directory(name, self.root, _VOLUME_MODE))

    @contextlib.contextmanager
    def volume(self, name: str) -> Iterator[int]:
        """Open the directory of a volume.

        Raises:
            FileNotFoundError: There is none.
            DriveFault: What stands there is no directory of this file system.
        """
        try:
            descriptor = files.open_directory(checked(name), self.root)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise DriveFault(f"{self.fsuuid}: {name} is not a directory; it was not made by DirectPV") from None
            raise
        try:
            if os.fstat(descriptor).st_dev != os.fstat(self.root).st_dev:
                raise DriveFault(f"{self.fsuuid}: another file system is mounted on {self.path}/{name}; unmount it")
            yield descriptor
        finally:
            os.close(descriptor)

    def retire(self, name: str) -> bool:
        """Rename the directory of a volume to ``<name>.deleted``, durably; tell whether there was one.

        Remains of an earlier volume of that name may still be there: then the new ones go inside them.
        """
        remains = f"{checked(name)}{layout.DELETED_SUFFIX}"
        for _ in range(_RETIRE_TRIES):
            try:
                ballast.with_room(self.root, lambda: self._move_away(name, remains))
            except FileNotFoundError:
                if not self._exists(name):
                    return False
                continue
            os.fsync(self.root)
            return True
        raise DriveFault(f"{self.fsuuid}: {name} could not be renamed to {remains}")

    def _move_away(self, name: str, remains: str) -> None:
        if not self._exists(remains):
            os.rename(name, remains, src_dir_fd=self.root, dst_dir_fd=self.root)
            return
        with files.opened(remains, self.root) as older:
            os.rename(name, f"{files.TEMPORARY_PREFIX}{secrets.token_hex(8)}", src_dir_fd=self.root, dst_dir_fd=older)
            os.fsync(older)

    def _exists(self, name: str) -> bool:
        try:
            return stat.S_ISDIR(os.stat(name, dir_fd=self.root, follow_symlinks=False).st_mode)
        except FileNotFoundError:
            return False


def _has(name: str, directory: int, data: bytes) -> bool:
    """Tell whether a file has this content; one that cannot be read has not, and shall be replaced."""
    try:
        return files.read_file(name, directory) == data
    except OSError:
        return False


def checked(name: str) -> str:
    """Return ``name`` if it may be a volume's directory.

    Raises:
        InvalidRequest: It may not: it could leave its directory, or be mistaken for something of ours.
    """
    if not is_volume_name(name):
        raise InvalidRequest(f"volume_id: {name!r} is not a valid volume name", field="volume_id")
    return name


@contextlib.contextmanager
def open_drive(path: str, fsuuid: str, *, proven: bool = True) -> Iterator[DriveDir]:
    """Open a mounted drive.

    Args:
        path: Its mount point.
        fsuuid: Its id.
        proven: Whether the drive must have its link already; only a drive that is being made has not.

    Raises:
        DriveFault: The drive is not mounted at ``path``.
        OSError: What the kernel said; EIO if the drive has failed.
    """
    with files.opened(path) as root:
        drive = DriveDir(root, fsuuid, path)
        if proven and not drive.is_laid_out():
            raise DriveFault(f"{fsuuid} is not mounted at {path}")
        yield drive
