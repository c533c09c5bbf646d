"""A connection that the server ended for good: the client library never makes another, so the agent does."""

from integration.nodeagent.harness import AgentProcess
from support.node_client import Client, eventually
from support.proxy import Proxy


async def test_an_agent_whose_connection_was_ended_for_good_makes_another_and_stays_the_same_process(
    agent: AgentProcess, client: Client
) -> None:
    proxy = Proxy(agent.port)
    async with proxy.listening() as agent.port:
        agent.start()
        await agent.answers(client)
        proxy.say(b"-ERR 'Maximum Payload Violation'\r\n")

        async def noticed() -> bool:
            return "ended the connection for good" in agent.log_text()

        await eventually(noticed, "it is noticed")
        await agent.answers(client)
