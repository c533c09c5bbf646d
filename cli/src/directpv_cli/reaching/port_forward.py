"""``kubectl port-forward`` beside a verb: a port of loopback that leads to the installation's NATS.

kubectl's process lives in a session of its own, and never longer than the verb: it is killed at the end, and by the
kernel (on Linux) if this process is killed itself.

Source: kubectl port-forward, which says ``Forwarding from 127.0.0.1:<port> -> <port of the pod>`` when it listens.
"""

import asyncio
import contextlib
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, Final

from directpv_cli.install.objects.base import NAMESPACE
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import Unavailable

HOST: Final = "127.0.0.1"
READY_SECONDS: Final = 15.0
"""Until kubectl must listen."""
LAST_WORDS_SECONDS: Final = 0.5
"""A connection breaks a moment before kubectl says why."""
REAP_SECONDS: Final = 2.0
LINE_BYTES: Final = 1 << 20
PR_SET_PDEATHSIG: Final = 1
_FORWARDING: Final = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) -> ")
_NOTICES: Final = ("Forwarding from ", "Handling connection for ")


def port_in(line: str) -> int | None:
    """Return the port at which kubectl listens, if that is what ``line`` says.

    >>> port_in("Forwarding from 127.0.0.1:40123 -> 4222")
    40123
    """
    found = _FORWARDING.match(line)
    return int(found[1]) if found else None


def trouble(said: str) -> str:
    """Return for people why there is no way into the cluster; ``said`` is kubectl's last line about it."""
    if "(NotFound)" in said:
        return (
            f"no NATS of DirectPV in the cluster ({said}); `kubectl directpv install` installs it, and an installation "
            "with a NATS of your own is reached by giving its URL: --nats-url"
        )
    return f"the cluster cannot be reached: kubectl port-forward says: {said or 'nothing'}"


@contextlib.asynccontextmanager
async def port_forward(argv: list[str], within: float = READY_SECONDS) -> AsyncIterator[int]:
    """Run kubectl while the block runs, and yield its port; if it ends before the block does, the block ends with it.

    Args:
        argv: See :func:`.tunnel.command`.
        within: Seconds until it must listen.

    Raises:
        Unavailable: It cannot be started, did not listen in time, or ended; or the block raised it, then with what
            kubectl said about it.
    """
    with _ended_by_signals():
        kubectl = await _Kubectl.started(argv)
        try:
            port = await kubectl.listening(within)
            with kubectl.needed():
                yield port
        except Unavailable as error:
            await kubectl.ended(LAST_WORDS_SECONDS)
            if kubectl.said and kubectl.said not in error.message:
                raise Unavailable(f"{error.message}; kubectl port-forward says: {kubectl.said}") from error
            raise
        finally:
            await kubectl.end()


class _Kubectl:
    """A running ``kubectl port-forward``, and what it says."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.said = ""
        """Its last line that is about a trouble."""
        self._process = process
        self._port: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._reading = asyncio.create_task(self._read(), name="kubectl port-forward")

    @classmethod
    async def started(cls, argv: list[str]) -> "_Kubectl":
        try:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
                limit=LINE_BYTES,
                start_new_session=True,  # Ctrl-C is for the verb, which ends what it started
                preexec_fn=_dying_with_us(),  # safe: this process has no threads yet
            )
        except OSError as error:
            why = "is not on the PATH" if isinstance(error, FileNotFoundError) else f"cannot be run: {error.strerror}"
            raise Unavailable(
                f"{argv[0]} {why}; it leads into the cluster, unless you give the URL of NATS by --nats-url"
            ) from error
        return cls(process)

    async def _read(self) -> None:
        """Take in what it says until it ends, for its pipe must not fill up."""
        assert self._process.stdout is not None
        async for raw in self._process.stdout:
            line = raw.decode(errors="replace").strip()
            port = port_in(line)
            if port is not None and not self._port.done():
                self._port.set_result(port)
            elif line and not line.startswith(_NOTICES):
                self.said = line

    async def listening(self, within: float) -> int:
        """Wait until it listens, and return its port.

        Raises:
            Unavailable: It ended, or does not listen after ``within`` seconds.
        """
        outcomes: set[asyncio.Future[Any]] = {self._port, self._reading}
        await asyncio.wait(outcomes, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        if self._port.done():
            return self._port.result()
        if self._reading.done():
            raise Unavailable(trouble(self.said))
        raise Unavailable(
            f"the cluster cannot be reached: kubectl port-forward is not ready after {within:g} s; do the API server "
            f"and the pods of NATS answer? kubectl -n {NAMESPACE} get pods"
        )

    async def ended(self, within: float) -> None:
        """Wait a moment for its end, and what it says then."""
        await asyncio.wait({self._reading}, timeout=within)

    @contextlib.contextmanager
    def needed(self) -> Iterator[None]:
        """Cancel the block if kubectl ends before it.

        Raises:
            Unavailable: That happened.
        """
        owner, lost = _current_task(), False

        def ended(_: object) -> None:
            nonlocal lost
            lost = True
            owner.cancel()

        self._reading.add_done_callback(ended)
        try:
            yield
        except asyncio.CancelledError:
            if lost and owner.uncancel() == 0:
                raise Unavailable(f"the way into the cluster was lost: {self.said or 'kubectl ended'}") from None
            raise
        finally:
            self._reading.remove_done_callback(ended)

    async def end(self) -> None:
        """Kill its session, and wait a bounded time for it."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._reading.cancel()
        with contextlib.suppress(TimeoutError):
            async with timeout(REAP_SECONDS):
                await self._process.wait()


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """End the block in good order when this process shall end; a signal that is ignored (nohup) stays so."""
    loop, owner = asyncio.get_running_loop(), _current_task()
    caught = [which for which in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(which) is signal.SIG_DFL]
    for which in caught:
        loop.add_signal_handler(which, owner.cancel)
    try:
        yield
    finally:
        for which in caught:
            loop.remove_signal_handler(which)


def _current_task() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


def _dying_with_us() -> Callable[[], None] | None:
    """Return what a child must call to be killed when this process ends; None where the kernel cannot do that.

    Source: prctl(2): the signal comes when the thread that forked ends, and survives exec of programs without
    privileges.
    """
    if sys.platform != "linux":
        return None
    import ctypes

    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def bind() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before the kernel was asked
            os._exit(1)

    return bind
