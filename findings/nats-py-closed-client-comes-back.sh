#!/bin/sh
# nats-py 2.16.0 on Python 3.11: a client that is closed while it reconnects can come back, connected, after close() returned.
#
# close() cancels the attempt to reconnect. On Python 3.11 asyncio.wait_for(), in which the attempt opens its connection,
# returns the result instead of the cancellation when both come in one turn of the loop; the attempt then goes on, sets
# the closed client to connected and sends its subscriptions again. close() has returned by then: the program thinks that
# nothing of it is left, and its subscriptions are served for as long as the process lives. 3.12 and 3.13: not seen.
# Valid input: connect; the server drops the connection; close() some turns of the loop after the new attempt has begun.
# Output seen (Python 3.11.7; which turns, hangs on timing):
#   nats-py 2.16.0, Python 3.11: connected after close() at turn 3, 4, 5, 6, 7, 8, 12, 13, 14
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3.11 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install nats-py==2.16.0
cat > "$folder/try.py" <<'PYTHON'
import asyncio
import importlib.metadata
import json
import sys

from nats.aio.client import Client

INFO = {"server_id": "S", "server_name": "s", "version": "2.15.1", "proto": 1, "host": "127.0.0.1", "max_payload": 1 << 20}
open_now: set[asyncio.StreamWriter] = set()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    open_now.add(writer)
    try:
        writer.write(b"INFO " + json.dumps(INFO).encode() + b"\r\n")
        while line := await reader.readline():
            if line == b"PING\r\n":
                writer.write(b"PONG\r\n")
    except OSError:
        pass
    finally:
        open_now.discard(writer)
        writer.close()


async def quiet(*_: object) -> None:
    """Whatever comes later is not looked at here."""


async def comes_back(url: str, steps: int) -> bool:
    """Tell whether a client is connected that was closed so many steps after it began to connect anew."""
    client = Client()
    await client.connect(url, error_cb=quiet, reconnect_time_wait=0.05, max_reconnect_attempts=-1)
    tried = client._current_server.last_attempt
    for writer in list(open_now):
        writer.transport.abort()
    while client._current_server.last_attempt == tried:
        await asyncio.sleep(0)
    for _ in range(steps):
        await asyncio.sleep(0)
    await asyncio.wait_for(client.close(), 10)
    await asyncio.sleep(0.2)
    there = client.is_connected and bool(open_now)
    await client.close()
    for writer in list(open_now):
        writer.transport.abort()
    return there


async def main() -> bool:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"nats://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    back = [steps for steps in range(40) if await comes_back(url, steps)]
    said = ", ".join(map(str, back)) or "none"
    print(f"nats-py {importlib.metadata.version('nats-py')}, Python 3.11: connected after close() at turn {said}")
    server.close()
    return bool(back)


sys.exit(0 if asyncio.run(main()) else "this has changed")
PYTHON
"$folder/venv/bin/python" "$folder/try.py"
