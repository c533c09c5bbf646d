"""Drives that were given up while their disks could not be told, kept on the node: none is taken over again. Blocks."""

import contextlib
from pathlib import Path

from directpv_nodeagent.layout.core.layout import RETIRED_DIR
from directpv_nodeagent.linux import files


def note(root: str, fsuuid: str) -> None:
    """Keep, durably, that a drive was given up.

    Raises:
        OSError: It could not be kept.
    """
    path = Path(root, RETIRED_DIR)
    path.mkdir(mode=0o755, exist_ok=True)
    with files.opened(str(path)) as directory:
        files.write_file(fsuuid, directory, b"", 0o640)


def is_noted(root: str, fsuuid: str) -> bool:
    """Tell whether a drive was given up."""
    return Path(root, RETIRED_DIR, fsuuid).exists()


def forget(root: str, fsuuid: str) -> None:
    """Let a drive be taken over again."""
    with contextlib.suppress(FileNotFoundError):
        Path(root, RETIRED_DIR, fsuuid).unlink()
