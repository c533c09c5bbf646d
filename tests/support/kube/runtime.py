"""The container runtime of a guest."""

from pathlib import Path
from typing import Final

from support.guest import network
from support.guest.client import Hand
from support.kube.programs import kubernetes

_SETUP: Final = Path(__file__).with_name("node.sh")
_GO: Final = ("GOGC=400", "GODEBUG=asyncpreemptoff=1")
"""Signals and page faults cost more in a guest than memory does."""
_PATH: Final = "/usr/sbin:/usr/bin:/sbin:/bin"


async def prepare(hand: Hand, disk: str, pods: str) -> None:
    """Make a guest a machine that a kubelet can run on; ``disk`` keeps its state, ``pods`` is its pods' subnet."""
    await hand.run(str(_SETUP), disk, pods, network.HOST, within=120)


async def start(hand: Hand, name: str, *argv: str) -> None:
    """Start a program of Kubernetes in a guest."""
    programs = kubernetes()
    path = f"PATH=/run/bin:{programs}:{_PATH}"
    await hand.start(name, "env", path, "HOME=/run", *_GO, str(programs / name), *argv)


async def start_containerd(hand: Hand) -> None:
    """Start containerd, and wait until it answers."""
    await start(hand, "containerd", "--config=/run/containerd.toml")
    await hand.reach("/run/containerd/containerd.sock", within=90)
    ask = f"{kubernetes()}/ctr version"
    await hand.sh(f"for i in $(seq 200); do {ask} >/dev/null 2>&1 && exit 0; sleep 0.3; done; exit 1", within=90)
