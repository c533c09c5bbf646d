"""The configuration of NATS as it is installed: who is not ours is no part of the hub, while it is replaced, too."""

import asyncio
import contextlib
import ssl
from pathlib import Path

import pytest

from integration.kubernetes_install.hub_servers import (
    ASKED,
    Servers,
    answer,
    connected,
    encrypted,
    serve,
    tell,
)
from support.tls import files, new_authority


@pytest.mark.parametrize("servers", [3], indirect=True)
@pytest.mark.parametrize(
    ("shows", "told"),
    [("nothing", b""), ("no certificate", b""), ("another's certificate", b""), ("no password", b"Authorization")],
)
async def test_a_server_that_does_not_show_it_is_ours_is_no_part_of_the_hub(
    servers: Servers, tmp_path: Path, shows: str, told: bytes
) -> None:
    async with servers.bus("client-0"):
        await encrypted(servers)
        context = None if shows == "nothing" else _as_server(servers, tmp_path / "own", shows)
        reader, writer = await asyncio.open_connection("127.0.0.1", servers.ports["route-0"], ssl=context)
        said = b""
        with contextlib.suppress(OSError):
            writer.write(
                b'CONNECT {"verbose":false,"pedantic":false,"name":"x","cluster":"directpv","headers":true}\r\nPING\r\n'
            )
            async with asyncio.timeout(20):
                said = await reader.read()
        writer.transport.abort()
    assert (b"Authorization" in said) is (told == b"Authorization")
    assert b"PONG" not in said


def _as_server(servers: Servers, folder: Path, shows: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=servers.keys.authority.certificate)
    if shows != "no certificate":
        own = files(folder, new_authority() if shows == "another's certificate" else servers.keys.authority)
        context.load_cert_chain(own.certificate, own.key)
    return context


async def _speaks_tls(servers: Servers, index: int) -> bool:
    """Tell whether a server that is there begins by TLS with who comes as a server."""
    port = servers.ports[f"route-{index}"]
    async with asyncio.timeout(30):
        while True:
            with contextlib.suppress(ConnectionRefusedError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(b"PING\r\n")
                    return await reader.read(4) != b"INFO"
                finally:
                    writer.transport.abort()
            await asyncio.sleep(0.1)


@pytest.mark.timeout(180)
@pytest.mark.parametrize("former", ["asks nobody", "no TLS"])
async def test_while_servers_are_replaced_one_by_one_node_and_controller_find_each_other(
    tmp_path: Path, former: str
) -> None:
    servers = Servers(tmp_path, 3)
    servers.former = True
    try:
        servers.start(former=former)
        async with connected(servers, "leaf", "any") as (node, controller):
            await serve(node, ASKED)
            assert await answer(controller, ASKED) == b"here"
            for index in reversed(range(3)):
                servers.kill(f"nats-{index}")
                servers.start_hub(index)
                assert await answer(controller, ASKED, within=60) == b"here"
                await tell(node, controller, within=60)
                if index:
                    assert not await _speaks_tls(servers, index)
            servers.former = False
            await encrypted(servers)
            assert await answer(controller, ASKED, within=60) == b"here"
            servers.kill("leaf")
            servers.start_leaf()
            assert await answer(controller, ASKED, within=60) == b"here"
    finally:
        servers.close()
