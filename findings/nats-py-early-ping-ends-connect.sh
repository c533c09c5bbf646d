#!/bin/sh
# nats-py 2.16.0: a server that asks PING before it has answered the client's own PING is given up as if it had refused.
#
# NATS' protocol lets either side send PING at any time. nats-server does so to a client about which somebody else still
# decides (auth callout): after its first-ping interval, before the PONG that lets the client in. The client expects one
# of PONG, +OK and -ERR as the first line and takes nothing else; one would expect it to answer PONG and read on.
# Valid input: a loopback server that sends INFO, then PING, then, when it has its PONG or a second has passed, PONG.
# Output seen:
#   nats-py 2.16.0: connected False; the server's PING was answered: False
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install nats-py==2.16.0
cat > "$folder/try.py" <<'PYTHON'
import asyncio
import contextlib
import importlib.metadata
import json
import sys

from nats.aio.client import Client

INFO = {"server_id": "S", "server_name": "s", "version": "2.15.1", "proto": 1, "host": "127.0.0.1", "max_payload": 1 << 20}
answered = asyncio.Event()


async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"INFO " + json.dumps(INFO).encode() + b"\r\n")
    while (await reader.readline()) not in (b"PING\r\n", b""):
        pass
    writer.write(b"PING\r\n")
    with contextlib.suppress(TimeoutError, OSError, asyncio.CancelledError):
        if await asyncio.wait_for(reader.readline(), 1) == b"PONG\r\n":
            answered.set()
    with contextlib.suppress(OSError):
        writer.write(b"PONG\r\n")
        while await reader.read(1024):
            pass
    writer.close()


async def main() -> bool:
    server = await asyncio.start_server(slow, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Client()
    with contextlib.suppress(Exception):
        await asyncio.wait_for(client.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False, connect_timeout=5), 20)
    found = client.is_connected, answered.is_set()
    version = importlib.metadata.version("nats-py")
    print(f"nats-py {version}: connected {found[0]}; the server's PING was answered: {found[1]}")
    with contextlib.suppress(Exception):
        await client.close()
    server.close()
    return found == (False, False)


sys.exit(0 if asyncio.run(main()) else "this has changed")
PYTHON
"$folder/venv/bin/python" "$folder/try.py"
