"""The unix socket that kubelet and the sidecars connect to: for root alone; never pushes a running server aside."""

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import FailedPrecondition, InvalidRequest

PATH_BYTES: Final = 107
"""sun_path of Linux has 108 bytes, one of them for the NUL at the end; unix(7)."""
MODE: Final = 0o600
ANSWER_SECONDS: Final = 1.0


@contextlib.asynccontextmanager
async def bound_socket(path: str) -> AsyncIterator[socket.socket]:
    """Bind ``path`` while the block runs, and remove it at the end unless it is another's by then.

    A socket file that a killed process left behind is replaced; its directory is made if it is missing.

    Raises:
        InvalidRequest: No absolute path, or longer than a socket's path can be.
        FailedPrecondition: Something else is there, or somebody answers on it.
        OSError: The directory cannot be written.
    """
    _check(path)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    await _clear(path)
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    with server:
        _bind(server, path)
        ours = os.stat(path).st_ino
        try:
            yield server
        finally:
            with contextlib.suppress(OSError):
                if os.stat(path).st_ino == ours:
                    os.unlink(path)


def _check(path: str) -> None:
    if not path.startswith("/"):
        raise InvalidRequest(f"csi_socket: {path!r} is not absolute; give a path that begins with '/'")
    if len(os.fsencode(path)) > PATH_BYTES:
        raise InvalidRequest(f"csi_socket: {path!r} is longer than {PATH_BYTES} bytes; use a shorter path")


async def _clear(path: str) -> None:
    """Remove a socket file on which nobody answers."""
    try:
        kind = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(kind):
        raise FailedPrecondition(f"csi_socket: {path} exists and is no socket; remove it or use another path")
    if await _answers(path):
        raise FailedPrecondition(f"csi_socket: another process answers on {path}; stop it or use another path")
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


async def _answers(path: str) -> bool:
    """Tell whether a process accepts on ``path``, or is at least there and too busy to."""
    try:
        async with timeout(ANSWER_SECONDS):
            _, writer = await asyncio.open_unix_connection(path)
    except (ConnectionRefusedError, FileNotFoundError):
        return False
    except (TimeoutError, OSError):
        return True
    writer.close()
    return True


def _bind(server: socket.socket, path: str) -> None:
    """Bind, and set the permissions before anybody can connect: that needs listen(2)."""
    try:
        server.bind(path)
    except OSError as error:
        raise FailedPrecondition(f"csi_socket: cannot bind {path}: {error.strerror}") from error
    os.chmod(path, MODE)
