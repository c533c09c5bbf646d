"""Runs our command line in processes forked from one that has imported it already.

To import what a verb needs takes longer than most verbs do. Each run is a process of its own all the same: with its own
arguments, environment, folder, and files for input and output, it begins where the console script begins, and ends
as an interpreter ends. For what a test says of the program's own start (its imports, a terminal, a locale), start it.
"""

import atexit
import contextlib
import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

PROGRAMS: Final = {"kubectl-directpv": "directpv_cli.__main__"}
"""Not ``directpv``, which mounts: the one that forks stays in the mount namespace that it was started in."""
_ROOMS: Final = ("directpv_cli.app", "directpv_cli.commands", "directpv_cli.install.applying")
_LATER: Final = ("kubernetes_asyncio.client", "kubernetes_asyncio.config", "yaml")
"""What functions import when they are called."""
_READY_SECONDS: Final = 60.0
_END_SECONDS: Final = 20.0


def run(
    program: str, *argv: str, env: Mapping[str, str], within: float, cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a program of ``PROGRAMS``, and return what it said.

    Raises:
        TimeoutExpired: It did not end in time, and was killed.
    """
    asked = {"program": program, "argv": argv, "env": dict(env), "cwd": str(cwd or Path.cwd())}
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open() as nothing:
        with socket.socket(socket.AF_UNIX) as server:
            server.settimeout(_READY_SECONDS + within)
            server.connect(_server())
            fds = [nothing.fileno(), out.fileno(), err.fileno()]
            socket.send_fds(server, [json.dumps(asked).encode() + b"\n"], fds)
            with server.makefile("r") as replies:
                pid = int(replies.readline())
                server.settimeout(within)
                try:
                    code = int(replies.readline())
                except TimeoutError:
                    os.kill(pid, signal.SIGKILL)
                    raise subprocess.TimeoutExpired([program, *argv], within) from None
        said = [_all_of(file) for file in (out, err)]
    return subprocess.CompletedProcess([program, *argv], code, *said)


def _all_of(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode())


@cache
def _server() -> str:
    """Start the process that forks, once; it ends with this one. Return the address at which it listens.

    Its environment names no stack: it would be taken for one of its processes.
    """
    address = f"\0directpv-forked-{os.getpid()}-{os.urandom(4).hex()}"
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(address)
        listening.listen(64)
        mine, its = socket.socketpair()
        with its:
            numbers = [listening.fileno(), its.fileno()]
            process = subprocess.Popen(
                [sys.executable, "-P", __file__, *map(str, numbers)],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, pass_fds=numbers, start_new_session=True,
                env={name: value for name, value in os.environ.items() if not name.startswith("DIRECTPV_")},
            )  # fmt: skip
    atexit.register(_end, mine, process)
    return address


def _end(mine: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    mine.close()
    try:
        process.wait(_END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


# ---- in the process that forks ---------------------------------------------------------------------------------------


def _import_all() -> None:
    for room in _ROOMS:
        module = importlib.import_module(room)
        for found in pkgutil.walk_packages(getattr(module, "__path__", []), f"{room}."):
            importlib.import_module(found.name)
    for name in _LATER:
        importlib.import_module(name)


def serve(listening: socket.socket, life: socket.socket) -> Callable[[], None]:
    """Fork for each who asks, until ``life`` is cut. Returns only in a process that was forked: what it is to do."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those in between
    while life not in select.select([listening, life], [], [])[0]:
        asker, _ = listening.accept()
        with asker:
            if os.fork() == 0:
                listening.close()
                life.close()
                if (work := _watch(asker)) is not None:
                    return work
                os._exit(0)
    sys.exit()


def _watch(asker: socket.socket) -> Callable[[], None] | None:
    """Fork once more, tell the number of that process and how it ended. Returns in that process: what it is to do."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, fds, _, _ = socket.recv_fds(asker, 1 << 20, 3)
    while not data.endswith(b"\n"):
        data += asker.recv(1 << 20)
    if (pid := os.fork()) == 0:
        asker.close()
        return lambda: _become(json.loads(data), fds)
    with contextlib.suppress(OSError):  # who asked has gone
        asker.sendall(b"%d\n" % pid)
        asker.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    return None


def _become(asked: dict[str, Any], fds: list[int]) -> None:
    for number, fd in enumerate(fds):
        os.dup2(fd, number)
        os.close(fd)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv = [asked["program"], *asked["argv"]]
    importlib.import_module(PROGRAMS[asked["program"]]).main()


if __name__ == "__main__":
    _import_all()
    gc.freeze()
    serve(*(socket.socket(fileno=int(number)) for number in sys.argv[1:]))()
