"""Volumes whose files do not count towards them: looked for now and then, and told.

Project quota binds honest pods: outside of user namespaces the kernel lets the owner of a file give it another project
(ioctl_xfs_fssetxattr(2)), so that a pod can write past its volume's size. A look at the volume's directory and the
first few entries of it finds who does that to all of it; nothing is changed, since the pod may be at work.
"""

import asyncio
import contextlib
import itertools
import logging
import os
from collections.abc import Mapping
from typing import Final

from directpv_common.protocol.errors import DirectPVError
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.layout.volume_dirs import drive_of
from directpv_nodeagent.linux import quota

log = logging.getLogger(__name__)

INTERVAL_SECONDS: Final = 600.0
LOOK_SECONDS: Final = 60.0
SAMPLE: Final = 16
"""Entries of a volume's directory that are looked at."""
_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class EvasionWatch:
    """Tells once of each volume whose files count elsewhere, until they do not any more."""

    def __init__(self, drives: Drives) -> None:
        self._drives = drives
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Look at all volumes in use now and then, until cancelled."""
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Look at all volumes in use, drive after drive; a drive that does not answer is left out."""
        for drive in tuple(self._drives.by_id.values()):
            view = drive.view
            projects = {name: number for name, number in drive.projects.items() if drive.use(name).published}
            if drive.trouble() or not projects:
                continue
            try:
                found = await self._drives.executors.run(
                    f"sampling {drive.fsuuid}",
                    lambda view=view, projects=projects: evaded(view, projects),  # type: ignore[misc]
                    LOOK_SECONDS,
                    "looking at project ids",
                )
            except (DirectPVError, OSError) as error:
                log.info("project ids not looked at", extra={"drive": drive.fsuuid, "error": str(error)})
                continue
            for name in projects:
                self._tell(drive.fsuuid, name, found.get(name, ""))

    def _tell(self, fsuuid: str, name: str, what: str) -> None:
        if not what:
            self._told.pop(name, None)
        elif self._told.get(name) != what:
            self._told[name] = what
            cause = f"{what} of it was given another project id, and does not count towards its size"
            advice = "look at the pod that uses it; run pods that you do not trust with hostUsers: false"
            log.warning("volume evades its quota", extra={"volume": name, "drive": fsuuid, "cause": cause})
            self._drives.emit("volume", "quota-evaded", name, drive=fsuuid, cause=cause, advice=advice)


def evaded(view: DriveView, projects: Mapping[str, int]) -> dict[str, str]:
    """Return what of volumes does not count towards their projects, in words; blocking. Well ones are left out.

    Args:
        view: The drive.
        projects: Project ids of volumes, by name.
    """
    found: dict[str, str] = {}
    with drive_of(view) as drive:
        for name, project in projects.items():
            with contextlib.suppress(OSError, DirectPVError), drive.volume(name) as directory:
                if what := _evaded(directory, project):
                    found[name] = what
    return found


def _evaded(directory: int, project: int) -> str:
    if not quota.attributes(directory).belongs_to(project):
        return "the directory"
    with os.scandir(directory) as entries:
        for entry in itertools.islice(entries, SAMPLE):
            if not (entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)):
                continue
            with contextlib.suppress(OSError):
                descriptor = os.open(entry.name, _FILE, dir_fd=directory)
                try:
                    same_disk = os.fstat(descriptor).st_dev == os.fstat(directory).st_dev
                    if same_disk and quota.attributes(descriptor).project != project:
                        return repr(entry.name)
                finally:
                    os.close(descriptor)
    return ""
