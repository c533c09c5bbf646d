"""Stands in for ``kubectl port-forward`` in front of a real server: its words, its exit status, its forwarding.

STAND_IN says how it goes (``forward``, ``missing``, ``refused``, ``silent``, ``broken``, ``slow``, or what alone
works, as ``pod/nats-1``: pod/nats-0 does not run then, and the service is broken), STAND_IN_TARGET which port of
loopback it forwards to, STAND_IN_LOG where it notes that it was started, and each connection, STAND_IN_CA what it says
of the certificate by which NATS is known; without, that there is none.
"""

import json
import os
import signal
import socket
import sys
import threading
import time

MISSING = 'Error from server (NotFound): services "nats" not found'
REFUSED = (
    'E1126 12:53:27.5 1 memcache.go:265] "Unhandled Error" err="couldn\'t get current server API group list"\n'
    "The connection to the server 127.0.0.1:9 was refused - did you specify the right host or port?"
)
PENDING = "error: unable to forward port because pod is not running. Current status=Pending"
LATE = 1.0
"""Seconds until a slow way leads anywhere."""
NOTICES = 3000
"""Lines about one connection: more than a pipe holds, for whoever does not read."""


def main() -> None:
    note(pid=os.getpid(), argv=sys.argv[1:])
    if "--ignore-not-found" in sys.argv and "STAND_IN_CA" not in os.environ:
        sys.exit(0)  # its NATS has no TLS
    if "--ignore-not-found" in sys.argv:
        with open(os.environ["STAND_IN_CA"]) as certificate:
            print(certificate.read(), end="")
        sys.exit(0)
    if "create" in sys.argv:
        print("a.token.")
        sys.exit(0)
    if "get" in sys.argv:
        get(sys.argv[sys.argv.index("get") + 1 :])
    how = os.environ["STAND_IN"]
    if how == "missing":
        sys.exit(MISSING)
    if how == "refused":
        sys.exit(REFUSED)
    if how == "silent":
        signal.pause()
    if how.startswith("pod/") and "pod/nats-0" in sys.argv:
        sys.exit(PENDING)
    forward(broken=how not in ("forward", "slow") and how not in sys.argv, late=LATE if how == "slow" else 0)


def get(words: list[str]) -> None:
    """Print an object of the file that STAND_IN_OBJECTS names, by kind and name, or say that there is none."""
    with open(os.environ["STAND_IN_OBJECTS"]) as file:
        objects = json.load(file)
    key = words[0] if words[0] == "events" else f"{words[0]}/{words[1]}"
    if key not in objects:
        sys.exit(f'Error from server (NotFound): {words[0]} "{words[1]}" not found')
    print(json.dumps(objects[key]))
    sys.exit(0)


def note(**facts: object) -> None:
    with open(os.environ["STAND_IN_LOG"], "a") as log:
        log.write(json.dumps(facts) + "\n")


def forward(*, broken: bool, late: float) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        print(f"Forwarding from 127.0.0.1:{port} -> 4222", flush=True)
        while True:
            client, _ = server.accept()
            print(f"Handling connection for {port}\n" * NOTICES, end="", flush=True)
            if broken:
                sys.exit("error: lost connection to pod")
            time.sleep(late)
            target = socket.create_connection(("127.0.0.1", int(os.environ["STAND_IN_TARGET"])))
            note(connected=port)
            for pair in ((client, target), (target, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()


def pump(source: socket.socket, sink: socket.socket) -> None:
    while data := source.recv(65536):
        sink.sendall(data)
    sink.shutdown(socket.SHUT_WR)


if __name__ == "__main__":
    main()
