"""Whether an XFS that is not mounted has all its changes in place. Blocks; reads only.

After a power failure, or when its disk was pulled, what was acknowledged last is in the log alone: files, directories,
whole volumes. A look without replay does not show them.
"""

import subprocess
import threading
from typing import Final

from directpv_common.protocol.errors import DriveFault
from directpv_nodeagent.devices.signatures import ENVIRONMENT, open_device

_HEAD_BYTES: Final = 4096
"""The state stands before the first record, of which there may be gigabytes."""
_CLEAN: Final = b"state: <CLEAN>"
"""Source: xfs_logprint(8) of xfsprogs, with ``-t``."""


def is_clean(path: str, number: str, within: float) -> bool:
    """Tell whether the log has nothing to replay; what cannot be told is not clean.

    Args:
        path: The device.
        number: ``<major>:<minor>`` that it must have.
        within: Seconds until the program is killed.

    Raises:
        DriveFault: The device cannot be opened, or xfs_logprint is missing.
    """
    with open_device(path, number) as device:
        try:
            program = subprocess.Popen(
                ["xfs_logprint", "-t", f"/proc/self/fd/{device}"],
                pass_fds=(device,),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=ENVIRONMENT,
            )
        except OSError as error:
            raise DriveFault(f"xfs_logprint cannot be started: {error.strerror}; is xfsprogs installed?") from error
        with program:
            limit = threading.Timer(within, program.kill)
            limit.start()
            try:
                assert program.stdout is not None
                return _CLEAN in program.stdout.read(_HEAD_BYTES)
            finally:
                limit.cancel()
                program.kill()
