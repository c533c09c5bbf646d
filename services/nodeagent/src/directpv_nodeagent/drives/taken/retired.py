"""Drives that were given up while their disks could not be told, kept on the node: none is taken over again. Blocks."""

import contextlib
from pathlib import Path

from directpv_nodeagent.layout.core.layout import RETIRED_DIR
from directpv_nodeagent.linux import files


def note(root: str, fsuuid: str, since: str = "") -> None:
    """Keep, durably, that a drive was given up, and since when (RFC 3339; empty: that is not known).

    Raises:
        OSError: It could not be kept.
    """
    path = Path(root, RETIRED_DIR)
    path.mkdir(mode=0o755, exist_ok=True)
    with files.opened(str(path)) as directory:
        files.write_file(fsuuid, directory, since.encode(), 0o640)


def is_noted(root: str, fsuuid: str) -> bool:
    """Tell whether a drive was given up."""
    return Path(root, RETIRED_DIR, fsuuid).exists()


def since(root: str, fsuuid: str) -> str:
    """Return since when a drive is given up that is noted; empty if that is not known."""
    try:
        return Path(root, RETIRED_DIR, fsuuid).read_text(encoding="utf-8", errors="replace").strip()[:64]
    except OSError:
        return ""


def forget(root: str, fsuuid: str) -> None:
    """Let a drive be taken over again."""
    with contextlib.suppress(FileNotFoundError):
        Path(root, RETIRED_DIR, fsuuid).unlink()
