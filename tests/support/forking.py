"""The process that forks: it has imported a program, and begins it anew for each who asks; see :mod:`.forked`.

The number of what was begun, and how it ended, go back through the connection of who asked.
"""

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any, Final, NamedTuple


class Program(NamedTuple):
    """What a console script runs."""

    module: str
    """Whose ``main`` it calls."""
    rooms: tuple[str, ...]
    """Packages that are imported with all that is in them."""
    later: tuple[str, ...] = ()
    """What functions import when they are called."""


_KUBERNETES: Final = ("kubernetes_asyncio.client", "kubernetes_asyncio.config", "yaml")
PROGRAMS: Final = {
    # Not ``directpv``, which mounts: the one that forks stays in the mount namespace that it was started in.
    "kubectl-directpv": Program(
        "directpv_cli.__main__",
        ("directpv_cli.app", "directpv_cli.commands", "directpv_cli.install.applying"),
        _KUBERNETES,
    ),
    "directpv-controller": Program("directpv_controller.__main__", ("directpv_controller",), _KUBERNETES),
    "directpv-nodeagent": Program("directpv_nodeagent.__main__", ("directpv_nodeagent",)),
}


def import_all(program: Program) -> None:
    """Import what the program needs, or may need."""
    for room in program.rooms:
        module = importlib.import_module(room)
        for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"{room}."):
            importlib.import_module(found.name)
    for name in (program.module, *program.later):
        importlib.import_module(name)


def serve(program: str, listening: socket.socket, life: socket.socket) -> Callable[[], None]:
    """Fork for each who asks, until ``life`` is cut. Returns only in a process that was forked: what it is to do."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those in between
    while life not in select.select([listening, life], [], [])[0]:
        asker, _ = listening.accept()
        with asker:
            if os.fork() == 0:
                listening.close()
                life.close()
                if (work := _watch(program, asker)) is not None:
                    return work
                os._exit(0)
    sys.exit()


def _watch(program: str, asker: socket.socket) -> Callable[[], None] | None:
    """Fork once more, tell the number of that process and how it ended. Returns in that process: what it is to do."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, fds, _, _ = socket.recv_fds(asker, 1 << 20, 3)
    while not data.endswith(b"\n"):
        data += asker.recv(1 << 20)
    if (pid := os.fork()) == 0:
        asker.close()
        return lambda: _become(program, json.loads(data), fds)
    for fd in fds:
        os.close(fd)
    with contextlib.suppress(OSError):  # who asked has gone
        asker.sendall(b"%d\n" % pid)
        asker.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return None


def _become(program: str, asked: dict[str, Any], fds: list[int]) -> None:
    os.setsid()
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = [program, *asked["argv"]]
    importlib.import_module(PROGRAMS[program].module).main()


if __name__ == "__main__":
    import_all(PROGRAMS[sys.argv[1]])
    gc.freeze()
    serve(sys.argv[1], *(socket.socket(fileno=int(number)) for number in sys.argv[2:]))()
