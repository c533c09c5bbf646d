"""Whether anything of a pod runs, as its control group tells. Blocks; reads only.

Each container of a pod, and the one that holds its network, is in the pod's control group as long as the pod lives,
also while a container of it waits to be started again. Source: kubelet, ``pkg/kubelet/cm``, names of pods' control
groups; cgroups(7).
"""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_OF_POD: Final = re.compile(r"/pods/([0-9a-f-]{32,36})/volumes/")
_GROUP: Final = re.compile(r"pod([0-9a-f_-]{32,36})(?![0-9a-f_-])")


def may_run(path: str) -> bool:
    """Tell whether something of the pod runs whose volume is at ``path``, a target of kubelet; True if nobody knows."""
    pod = _OF_POD.search(path)
    if pod is None:
        return True
    running = set(_running())
    return not running or _plain(pod[1]) in running


def _running() -> Iterator[str]:
    """Yield the pods of all processes of the node."""
    for process in _PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):
            yield from map(_plain, _GROUP.findall((process / "cgroup").read_text()))


def _plain(uid: str) -> str:
    """Return a pod's id as kubelet and systemd, which knows no hyphens in names, both write it."""
    return re.sub("[_-]", "", uid)
