"""A connection that the server ended for good: the client library never makes another, so the process must."""

from integration.controller.harness import until
from integration.controller.leading.asking import Start
from support.nats import NatsServer
from support.proxy import Proxy


async def test_a_controller_whose_connection_was_ended_for_good_ends_to_be_started_anew(
    nats: NatsServer, controllers: Start
) -> None:
    proxy = Proxy(nats.port)
    async with proxy.listening() as port:
        controller = controllers("c1", nats_url=f"nats://127.0.0.1:{port}")
        await until(lambda: controller.said('"leading"'), "it leads")
        proxy.say(b"-ERR 'Maximum Payload Violation'\r\n")

        await until(lambda: controller.popen.poll() is not None, "it ends")
    assert controller.popen.returncode == 1
    assert controller.said("ended the connection for good")
