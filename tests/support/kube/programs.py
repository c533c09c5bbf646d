"""Where the programs of Kubernetes are: built from Go modules once, or a user's own."""

import functools
import subprocess
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).resolve().parents[3]
_BUILD_SECONDS: Final = 3000


@functools.cache
def kubernetes(*names: str) -> Path:
    """Return the folder that has these programs, all if none is named; builds what is missing."""
    return _built("build-kubernetes", *names)


@functools.cache
def sidecars() -> Path:
    """Return the folder that has the CSI sidecars; builds what is missing."""
    return _built("build-sidecars")


def _built(script: str, *names: str) -> Path:
    command: list[str | Path] = [TOP / "scripts" / script, *names]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=_BUILD_SECONDS, text=True)
    return Path(done.stdout.strip())
