#!/bin/sh
# nats-py 2.16.0: connect() returns without an error when the server hangs up instead of letting the client in.
#
# The client sends CONNECT and PING and reads one line, which should be PONG (or +OK, then PONG, or -ERR). A server that
# closes the connection at that point has said no; nats-server does so when those who decide about a user do not answer
# in time. The client reads an empty line and goes on as if it were in: connect() returns, and who
# waits for it thinks that he is let in. That the connection is over shows later, in callbacks.
# Valid input: a loopback server that speaks the protocol's first lines and then closes, as it may at any time.
# Output seen:
#   nats-py 2.16.0: connect() returned
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install nats-py==2.16.0
cat > "$folder/try.py" <<'PYTHON'
import asyncio
import importlib.metadata
import json
import sys

import nats.errors
from nats.aio.client import Client

INFO = {"server_id": "S", "server_name": "s", "version": "2.15.1", "proto": 1, "host": "127.0.0.1", "max_payload": 1 << 20}


async def no_welcome(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"INFO " + json.dumps(INFO).encode() + b"\r\n")
    while (await reader.readline()) not in (b"PING\r\n", b""):
        pass
    writer.close()


async def quiet(_: Exception) -> None:
    """Whatever comes later is not looked at here."""


async def main() -> bool:
    server = await asyncio.start_server(no_welcome, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    client = Client()
    said = "raised an error"
    try:
        await asyncio.wait_for(client.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False, error_cb=quiet), 20)
        said = "returned"
    except (nats.errors.Error, OSError, TimeoutError) as error:
        said = f"raised {type(error).__name__}"
    print(f"nats-py {importlib.metadata.version('nats-py')}: connect() {said}")
    server.close()
    return said == "returned"


sys.exit(0 if asyncio.run(main()) else "this has changed")
PYTHON
"$folder/venv/bin/python" "$folder/try.py"
