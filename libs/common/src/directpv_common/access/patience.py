"""How long who waits for whom until it is decided who comes in: each longer than the next."""

from typing import Final

DECIDE_SECONDS: Final = 3.5
"""Controllers answer within that, Kubernetes' answer included, or not at all."""
SERVER_SECONDS: Final = 5.0
"""Servers of NATS wait for controllers; then they hang up."""
CLIENT_SECONDS: Final = 6.0
"""Who is decided about waits for the server's greeting; to hang up before would have all of it begin anew."""
DOOR_SECONDS: Final = 8.0
"""Controllers answer within that who registers a key."""
REGISTER_SECONDS: Final = 10.0
"""Who registers one waits so long for it."""
PERSON_SECONDS: Final = 14.0
"""A person's program, in all: so that a try that was in vain can be repeated."""
