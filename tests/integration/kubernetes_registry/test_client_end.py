"""What is left when the client of the API server ends: nothing, also where the server takes no leave."""

import asyncio
import contextlib
import gc
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from directpv_controller.registry.kubernetes.apiserver.access import Access
from directpv_controller.registry.kubernetes.apiserver.client import connect
from directpv_controller.registry.kubernetes.election import LEASE, leases
from integration.kubernetes_registry.test_client import no_token
from support.kube.pki import Pki


@pytest.fixture
def mute(tmp_path: Path) -> Iterator[tuple[Access, threading.Event]]:
    """A server that lets in one client by TLS, and then neither answers nor says good-bye; what tells of the client."""
    pki, asked = Pki(tmp_path), threading.Event()
    pair = pki.server("mute", ["127.0.0.1"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    with socket.create_server(("127.0.0.1", 0)) as listener, contextlib.ExitStack() as held:

        def serve() -> None:
            with contextlib.suppress(OSError):
                client = held.enter_context(context.wrap_socket(listener.accept()[0], server_side=True))
                client.recv(1)
                asked.set()

        thread = threading.Thread(target=serve)
        thread.start()
        tls = ssl.create_default_context(cafile=str(pki.authority.certificate))
        yield Access(f"https://127.0.0.1:{listener.getsockname()[1]}", tls, no_token), asked
        thread.join(10)


def test_a_request_that_is_cancelled_leaves_no_connection_behind(mute: tuple[Access, threading.Event]) -> None:
    access, asked = mute

    async def ask_and_give_up() -> None:
        async with connect(access, lambda *_: None) as client:
            asking = asyncio.create_task(client.get(leases("x"), LEASE))
            assert await asyncio.to_thread(asked.wait, 10)
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        asyncio.run(ask_and_give_up())
        gc.collect()

    assert [str(each.message) for each in told if each.category is ResourceWarning] == []
