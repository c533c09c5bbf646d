"""A node with two drives."""

import pytest

from integration.nodeagent.harness import AgentProcess, Loops
from integration.nodeagent.moving.moving import Leader
from support.node_client import Client


@pytest.fixture
async def leader(loops: Loops, agent: AgentProcess, client: Client) -> Leader:
    names = loops.make(), loops.make()
    agent.devices = names
    agent.start(*names)
    await agent.answers(client)
    old, new = [await client.make_drive(name) for name in names]
    return Leader(client, agent, old, new)
