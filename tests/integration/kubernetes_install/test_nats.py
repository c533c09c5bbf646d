"""The configuration of NATS as it is installed, in real servers: who reaches whom, and who is alive."""

import asyncio
import signal

import nats.errors
import pytest

from directpv_common.bus.events import Events, ensure_stream
from directpv_common.bus.greeting import outdated
from integration.kubernetes_install.hub_servers import (
    ASKED,
    NODE,
    SUBJECTS,
    Servers,
    answer,
    connected,
    serve,
    tell,
)
from support.tls import new_authority


async def test_node_and_controller_reach_each_other_through_the_nodes_own_server(servers: Servers) -> None:
    async with connected(servers, "leaf", f"client-{servers.count - 1}") as (node, controller):
        await serve(node, ASKED)
        assert await answer(controller, ASKED) == b"here"
        await tell(node, controller)


async def test_events_of_a_node_are_kept_by_the_servers_behind(servers: Servers) -> None:
    async with servers.bus("leaf") as node, servers.bus("client-0") as bus:
        events = Events(node, NODE)
        running = asyncio.create_task(events.run())
        try:
            events.emit("drive", "ready", "d1")
            async with asyncio.timeout(30):
                while True:
                    info = await ensure_stream(bus)
                    if info is not None and info.state.messages:
                        break
                    await asyncio.sleep(0.2)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        assert info.state.messages == 1
        assert info.config.num_replicas == servers.count


async def test_programs_of_a_node_find_each_other_while_all_servers_behind_are_gone(servers: Servers) -> None:
    async with connected(servers, "leaf", "leaf") as (agent, gateway):
        await serve(agent, ASKED)
        for index in range(servers.count):
            servers.kill(f"nats-{index}")
        assert await answer(gateway, ASKED) == b"here"
        with pytest.raises(nats.errors.NoRespondersError):
            await gateway.request(SUBJECTS.node("other", "device", "list"), b"", timeout=5)


async def test_a_node_joins_again_when_the_servers_come_back(servers: Servers) -> None:
    async with connected(servers, "leaf", "client-0") as (node, controller):
        await serve(node, ASKED)
        await answer(controller, ASKED)
        for index in range(servers.count):
            servers.kill(f"nats-{index}")
        for index in range(servers.count):
            servers.start_hub(index)
        assert await answer(controller, ASKED) == b"here"


@pytest.mark.parametrize("servers", [3], indirect=True)
async def test_a_node_whose_server_fell_silent_goes_to_another_within_a_minute(servers: Servers) -> None:
    servers.kill("nats-2")
    async with connected(servers, "leaf", "client-0") as (node, controller):
        await serve(node, ASKED)
        await answer(controller, ASKED)  # through one of the two
        servers.start_hub(2)
        async with connected(servers, "client-2") as (other,):
            await answer(other, ASKED)
            servers.freeze("nats-0")
            servers.freeze("nats-1")
            assert await answer(other, ASKED, within=60) == b"here"


@pytest.mark.parametrize("servers", [1], indirect=True)
async def test_a_nodes_server_that_hangs_is_not_alive_and_one_that_has_lost_the_others_is(servers: Servers) -> None:
    async with connected(servers, "leaf"):
        servers.kill("nats-0")
        assert servers.leaf_is_alive()
        servers.freeze("leaf")
        assert not servers.leaf_is_alive()
        servers.running["leaf"].send_signal(signal.SIGCONT)
        assert servers.leaf_is_alive()
        servers.kill("leaf")
        assert not servers.leaf_is_alive()


@pytest.mark.parametrize("servers", [1], indirect=True)
async def test_a_nodes_server_that_was_started_with_other_certificates_than_are_published_is_not_alive(
    servers: Servers,
) -> None:
    def why() -> str:
        return outdated(servers.ports["monitor"], str(servers.authority))

    async with connected(servers, "leaf"):
        assert why() == ""
        servers.authority.write_text(new_authority().certificate)
        assert "other certificates" in why()
        servers.kill("leaf")
        assert why() == ""
        servers.start_leaf()
        async with connected(servers, "leaf"):
            assert why() == ""
