"""The build before: services of another commit, measured by the same benchmarks in the same run."""

import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

SOURCES = ("cli", "libs/common", "services/controller", "services/csi-gateway", "services/nodeagent")
TESTS = Path(__file__).parents[1]


@contextlib.contextmanager
def checked_out(commit: str, place: Path) -> Iterator[Path | None]:
    """Have the commit's tree while the block runs; None without a commit."""
    if not commit:
        yield None
        return
    subprocess.run(["git", "worktree", "add", "--quiet", "--detach", place, commit], check=True, timeout=60)
    try:
        yield place
    finally:
        subprocess.run(["git", "worktree", "remove", "--force", place], check=False, timeout=60)


@contextlib.contextmanager
def services_of(tree: Path) -> Iterator[None]:
    """Let every process that is started in the block run the sources of ``tree``; this one stays as it is."""
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([*(str(tree / part / "src") for part in SOURCES), str(TESTS)])
    try:
        yield
    finally:
        os.environ["PYTHONPATH"] = before
