"""Sees to it that those of the cluster let in this node's own NATS server: registers its key if it is not known."""

import asyncio
import json
import logging
import random
from pathlib import Path
from typing import Final

from directpv_common.access.nkey import read_seed
from directpv_common.access.patience import CLIENT_SECONDS, REGISTER_SECONDS
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.trust import read_trust
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.api import Door
from directpv_common.protocol.errors import DirectPVError, InvalidRequest, Refused
from directpv_common.protocol.messages import RegisterKey
from directpv_common.protocol.subjects import Subjects
from directpv_nodeagent.config import Config

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 5.0
PATIENCE: Final = 3
"""A server that was cut off joins again by itself; after so many looks without that, its key may be unknown."""
LONGEST_PAUSE: Final = 60.0
"""After a refusal, which will not change by itself."""
LONGEST_WAIT: Final = 10.0
"""While nobody can be asked."""
CONNECT_SECONDS: Final = 2 * CLIENT_SECONDS


class Joining:
    """One node's way into the bus of the cluster. What its own programs say to each other needs none of it."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._subjects = Subjects(config.subject_prefix)
        self.problem = ""
        """Why the node is not let in, for probes; empty while it is, and while nobody can be asked."""
        self._told = ""

    async def run(self) -> None:
        """Look, and register when that may help, until cancelled."""
        missing, pause = PATIENCE, LOOK_SECONDS
        while True:
            linked = await joined(self._config.leaf_monitor_port)
            if linked:
                missing, pause, self.problem, self._told = 0, LOOK_SECONDS, "", ""
            elif linked is not None:
                missing += 1
            if missing > PATIENCE:
                await self._try()
                await asyncio.sleep(pause * (0.75 + random.random() / 2))
                pause = min(2 * pause, LONGEST_PAUSE if self.problem else LONGEST_WAIT)
            else:
                await asyncio.sleep(LOOK_SECONDS if linked is not None else 1.0)

    async def _try(self) -> None:
        try:
            await self._register()
        except DirectPVError as error:
            if isinstance(error, Refused) or not error.retryable:
                self._tell(error.message)
                return
            self.problem = ""
            if error.message != self._told:
                log.warning("the cluster's NATS cannot be joined yet", extra={"error": error.message})
            self._told = error.message
        else:
            self.problem = self._told = ""

    def _tell(self, why: str) -> None:
        self.problem = f"NATS of the cluster does not let this node in: {why}"
        if why != self._told:
            log.error("this node is not let in", extra={"error": why})
        self._told = why

    async def _register(self) -> None:
        config = self._config
        key = read_seed(Path(config.bus_key))
        request = RegisterKey(token=read_token(Path(config.bus_token)))
        async with connect_bus(
            config.hub_url,
            name=f"nodeagent {config.node_name}, at the door",
            prefix=config.subject_prefix,
            within=CONNECT_SECONDS,
            nkey=key,
            asked=True,
            advice="the logs of the controllers say why",
            trust=read_trust(config.bus_ca),
        ) as bus:
            subject, within = self._subjects.door(key.public), REGISTER_SECONDS
            found = await bus.call(Door.REGISTER, request, subject=subject, within=within, attempt=within)
        log.info("the key of this node's NATS server is registered", extra={"node": found.node, "key": key.public})


def read_token(path: Path) -> str:
    """Return the token in a file.

    Raises:
        InvalidRequest: There is none; names the file.
    """
    try:
        text = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is no text"
        raise InvalidRequest(f"bus-token: {path} cannot be read: {why}", field="bus-token") from error
    if not text:
        raise InvalidRequest(f"bus-token: {path} is empty", field="bus-token")
    return text


async def joined(port: int, within: float = 2.0) -> bool | None:
    """Tell whether this node's NATS server is joined to another; None if it does not say.

    Source: NATS documentation, "Monitoring", ``/leafz``.
    """
    try:
        async with timeout(within):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            try:
                writer.write(b"GET /leafz HTTP/1.0\r\nHost: localhost\r\n\r\n")
                answer = await reader.read()
            finally:
                writer.close()
        return int(json.loads(answer.partition(b"\r\n\r\n")[2])["leafnodes"]) > 0
    except (OSError, TimeoutError, ValueError, KeyError, TypeError):
        return None
