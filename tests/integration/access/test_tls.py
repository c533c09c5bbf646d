"""Who is given an authority says nothing to a server that does not show by TLS that it is one of the installation's."""

import asyncio
import contextlib
import datetime
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import cast

import pytest

from directpv_common.access.certificates import BEGINS, ENDS, LOCAL, Authority
from directpv_common.access.nkey import Nkey
from directpv_common.bus import trust as trusting
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.line import Line
from directpv_common.bus.trust import Trust
from directpv_common.process.lifecycle import background
from directpv_common.protocol.errors import FailedPrecondition, InvalidRequest, Unavailable
from integration.access.conftest import SUBJECTS, settings
from support.nats import NatsServer, nats_server
from support.tls import Secured, files, new_authority

NOW = datetime.datetime.now(datetime.UTC)
MINUTES = datetime.timedelta(minutes=10)


@pytest.fixture(scope="module")
def authority() -> Authority:
    return new_authority()


Start = Callable[..., NatsServer]


@pytest.fixture
def start(tmp_path: Path, keys: dict[str, Nkey], authority: Authority) -> Iterator[Start]:
    """Start a server with a certificate; arguments as of :func:`support.tls.files`."""
    with contextlib.ExitStack() as stack:

        def started(
            names: tuple[str, ...] = LOCAL, begins: datetime.datetime = BEGINS, ends: datetime.datetime = ENDS
        ) -> NatsServer:
            made = files(tmp_path / "tls", authority, names, begins, ends)
            text = settings(keys) + Secured(made).settings
            return stack.enter_context(nats_server(tmp_path / "store", settings=text))

        yield started


async def test_a_client_speaks_by_tls_and_one_of_the_version_before_beside_it_without(
    start: Start, keys: dict[str, Nkey], authority: Authority
) -> None:
    server = start()
    async with (
        Recorder(server.port).listening() as recorder,
        connect_bus(
            f"nats://127.0.0.1:{recorder.port}",
            name="new",
            prefix=SUBJECTS.prefix,
            nkey=keys["root"],
            trust=Trust(authority.certificate),
        ) as new,
        connect_bus(server.url, name="former", prefix=SUBJECTS.prefix, nkey=keys["root"]) as former,
    ):
        heard = await new.client.subscribe("x.y")
        await new.client.flush()
        await former.client.publish("x.y", b"between them")
        assert (await heard.next_msg(timeout=20)).data == b"between them"
    assert recorder.said
    assert not [word for word in (b"CONNECT", keys["root"].public.encode(), b"x.y") if word in recorder.said]


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("of another authority", "not this installation's authority"),
        ("that has expired", "certificate has expired.*is the clock of this machine right"),
        ("that is not good yet", "not yet valid.*is the clock of this machine right"),
        ("for another name", "for other names than the one"),
    ],
)
async def test_a_server_with_a_certificate(
    start: Start, keys: dict[str, Nkey], authority: Authority, how: str, says: str
) -> None:
    """It is not spoken to, and the one error names the cause; who waits for as long as it takes goes on asking."""
    trust = Trust((new_authority() if how == "of another authority" else authority).certificate)
    match how:
        case "that has expired":
            server = start(ends=NOW - MINUTES)
        case "that is not good yet":
            server = start(begins=NOW + MINUTES)
        case "for another name":
            server = start(names=("nats.elsewhere.svc",))
        case _:
            server = start()
    async with Recorder(server.port).listening() as recorder:
        url = f"nats://127.0.0.1:{recorder.port}"
        async with asyncio.timeout(20):
            with pytest.raises(FailedPrecondition, match=says) as refused:
                async with connect_bus(url, name="t", prefix="directpv.v1", nkey=keys["root"], trust=trust):
                    raise AssertionError("it was trusted")
        assert url in refused.value.message
        assert recorder.connections == 1
    assert b"CONNECT" not in recorder.said


@pytest.mark.parametrize("stripped", [True, False])
async def test_a_server_without_tls_or_somebody_between_who_says_so_is_not_spoken_to(
    start: Start, tmp_path: Path, keys: dict[str, Nkey], authority: Authority, stripped: bool
) -> None:
    with contextlib.ExitStack() as stack:
        server = start() if stripped else stack.enter_context(nats_server(tmp_path / "plain", settings=settings(keys)))
        async with Recorder(server.port, strip=stripped).listening() as recorder:
            url = f"nats://127.0.0.1:{recorder.port}"
            with pytest.raises(Unavailable, match="it has no TLS"):
                async with connect_bus(
                    url,
                    name="t",
                    prefix="directpv.v1",
                    nkey=keys["root"],
                    within=5,
                    trust=Trust(authority.certificate),
                ):
                    raise AssertionError("it was trusted")
            assert 1 <= recorder.connections <= 4  # not ten a second
    assert recorder.said == b""


async def test_servers_of_the_version_before_are_spoken_to_where_they_are_known_to_be_there(
    tmp_path: Path, keys: dict[str, Nkey], authority: Authority
) -> None:
    async def there() -> bool:
        return True

    with nats_server(tmp_path / "plain", settings=settings(keys)) as server:
        trust = Trust(authority.certificate, former=there)
        async with connect_bus(
            server.url, name="t", prefix="directpv.v1", nkey=keys["root"], within=10, trust=trust
        ) as bus:
            await bus.client.flush()


async def test_a_line_is_there_once_the_server_is_one_that_is_trusted_and_the_cause_is_logged_once(
    tmp_path: Path, keys: dict[str, Nkey], authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    other = files(tmp_path / "other", new_authority())
    own = files(tmp_path / "own", authority)
    with nats_server(tmp_path / "store", settings=settings(keys) + Secured(other).settings) as server:
        trust = Trust(authority.certificate)
        async with Recorder(server.port).listening() as recorder:
            url = f"nats://127.0.0.1:{recorder.port}"
            line = Line(url, name="t", prefix="directpv.v1", nkey=keys["root"], trust=trust)
            async with background(line.run()):
                await until(lambda: recorder.connections > 2)
                server.kill()
                server.settings = settings(keys) + Secured(own).settings
                server.start()
                await until(lambda: line.connected)
    assert len([record for record in caplog.records if record.name == trusting.__name__]) == 1


@pytest.mark.parametrize(
    "text", ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_a_certificate_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ca.crt"
    path.write_text(text)
    with pytest.raises(InvalidRequest, match="bus-ca: no certificate") as refused:
        trusting.read_trust(str(path))
    assert str(path) in refused.value.message
    with pytest.raises(InvalidRequest, match=r"bus-ca: /nowhere/ca\.crt cannot be read: No such file"):
        trusting.read_trust("/nowhere/ca.crt")


async def test_each_of_two_authorities_is_trusted_when_both_are_given(
    start: Start, keys: dict[str, Nkey], authority: Authority
) -> None:
    server = start()
    both = new_authority().certificate + authority.certificate
    async with connect_bus(server.url, name="t", prefix="directpv.v1", nkey=keys["root"], trust=Trust(both)) as bus:
        await bus.client.flush()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0.05)


class Recorder:
    """Stands between, as somebody who has the network: reads what clients say, and may say that there is no TLS."""

    def __init__(self, behind: int, *, strip: bool = False) -> None:
        self.said, self.connections, self.port = b"", 0, 0
        self._behind, self._strip = behind, strip
        self._tasks: set[asyncio.Task[None]] = set()
        self._ends: list[asyncio.StreamWriter] = []

    @contextlib.asynccontextmanager
    async def listening(self) -> "AsyncIterator[Recorder]":
        server = await asyncio.start_server(self._take, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for each in self._ends:  # of tasks that had not begun, too
                each.close()

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._tasks.add(cast("asyncio.Task[None]", asyncio.current_task()))
        self._ends.append(writer)
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._behind)
            self._ends.append(back)
            greeting = json.loads((await there.readline()).removeprefix(b"INFO "))
        except (OSError, ValueError):
            writer.close()
            return
        if self._strip:
            greeting |= {"tls_available": False, "tls_required": False}
        writer.write(b"INFO " + json.dumps(greeting).encode() + b"\r\n")
        for work in (self._pass(reader, back, own=True), self._pass(there, writer, own=False)):
            self._tasks.add(asyncio.create_task(work))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, own: bool) -> None:
        with contextlib.closing(writer), contextlib.suppress(OSError):
            while data := await reader.read(2**16):
                self.said += data if own else b""
                writer.write(data)


async def test_the_end_of_a_connection_with_tls_leaves_nothing_to_complain_about(
    start: Start, keys: dict[str, Nkey], authority: Authority, caplog: pytest.LogCaptureFixture
) -> None:
    server, trust = start(), Trust(authority.certificate)
    async with connect_bus(server.url, name="t", prefix="directpv.v1", nkey=keys["root"], trust=trust) as bus:
        server.kill()
        async with asyncio.timeout(20):
            while bus.connected:
                await asyncio.sleep(0.02)
    assert "has no effect when using ssl" not in caplog.text
