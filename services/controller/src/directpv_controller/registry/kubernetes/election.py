"""Election by a Lease of coordination.k8s.io.

Nobody's calendar is trusted: a standby replaces a holder whose lease it has not seen change for as long as the lease
lasts, by its own clock; a holder counts from before it asked for the renewal. Both use CLOCK_BOOTTIME, which nobody can
set and which goes on while a machine sleeps.

Source: Kubernetes, "Leases"; the meaning of the fields is that of client-go's leaderelection.
"""

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from directpv_common.calls.scopes import timeout
from directpv_common.crd import EPOCH, Object
from directpv_common.crd.shape import OWN
from directpv_common.protocol.epochs import epoch_in, may_be_followed, next_epoch
from directpv_common.protocol.errors import DirectPVError, Fenced, Unavailable
from directpv_controller.leading.port import RegistryLost
from directpv_controller.registry.kubernetes.apiserver.client import Client, Resource
from directpv_controller.registry.kubernetes.apiserver.errors import Exists, Missing, Stale

log = logging.getLogger(__name__)

LEASE: Final = "directpv-controller"
REBUILT: Final = f"{OWN}/rebuilt"
"""Annotation: id of the registry to which all nodes have had the time to report."""
RELEASED: Final = f"{OWN}/released"
"""Annotation: epoch of the leader that gave the lease back. A person who empties or deletes it ends no term by that."""
MARGIN: Final = 0.1
"""Part of the lease that its holder does not use: covers clocks that run at different speeds."""
POLL_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 60.0
"""A standby that gets no answer for two leases, or for so long, gives up: address and certificates may have changed."""
RETRY_SECONDS: Final = 0.5
"""A renewal that failed is tried again after so long, at most."""


def now() -> float:
    """Return seconds since boot, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def leases(namespace: str) -> Resource:
    """Return the leases of a namespace."""
    return Resource(f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases", "leases")


Confirm = Callable[[float], Awaitable[None]]
"""Makes sure, within so many seconds, that the registry is still the one that was opened; raises RegistryLost."""


class KubernetesElection:
    """One candidate. ``ttl`` is the length of a lease in seconds."""

    def __init__(self, client: Client, namespace: str, holder: str, ttl: float, confirm: Confirm) -> None:
        self.client, self.holder, self.ttl = client, holder, ttl
        self._confirm = confirm
        self.resource = leases(namespace)
        self.lease: KubernetesLease | None = None
        """The last one that was won."""
        self._answered = -math.inf
        self._seen = ("", -math.inf)
        """Resource version of the lease, empty if there is none, and when it was first seen."""
        self._lasts = ttl
        """For how long its last holder may lead without renewing it."""

    @property
    def reachable(self) -> bool:
        """Whether the API server answered within the last two leases."""
        return now() - self._answered < 2 * self.ttl

    async def campaign(self) -> "KubernetesLease":
        """Wait until this process leads; see :class:`~directpv_controller.leading.port.Election`.

        Raises:
            RegistryLost: The definitions are gone, or were made anew.
            Unavailable: No answer for so long that one should connect anew.
        """
        self.lease = None
        begun = now()
        while True:
            asked = now()
            try:
                self.lease = await self._try(asked)
            except RegistryLost:
                raise
            except (Stale, Exists):
                pass  # somebody else was faster
            except DirectPVError as error:
                log.warning("election failed", extra={"error": error.message})
                if now() - max(begun, self._answered) >= min(2 * self.ttl, PATIENCE_SECONDS):
                    raise Unavailable(f"no election: {error.message}") from error
            if self.lease is not None:
                return self.lease
            await asyncio.sleep(min(POLL_SECONDS, self.ttl / 4))

    async def _try(self, asked: float) -> "KubernetesLease | None":
        try:
            obj = await self.client.get(self.resource, LEASE, within=self.ttl / 3)
        except Missing:
            obj = {"metadata": {"name": LEASE}, "spec": {}}
        self.answered()
        if not self._over(obj):
            return None
        await self._confirm(self.ttl / 3)
        taken = self._taken(obj)
        write = self.client.replace if "resourceVersion" in obj["metadata"] else self.client.create
        stored = await write(self.resource, taken, within=self.ttl / 3)
        return KubernetesLease(self, stored, asked)

    def answered(self) -> None:
        """Note that the API server answered."""
        self._answered = now()

    def _over(self, obj: Object) -> bool:
        """Tell whether nobody leads: the lease was given back, or has not changed for as long as its holder said."""
        spec, version = obj["spec"], obj["metadata"].get("resourceVersion", "")
        if self._seen[0] != version:
            self._seen = (version, now())
        if spec.get("leaseDurationSeconds"):
            self._lasts = max(self.ttl, float(spec["leaseDurationSeconds"]))
        return _given_back(obj) or now() - self._seen[1] >= self._lasts

    def _taken(self, obj: Object) -> Object:
        """Return the lease as ours. Its epoch follows the calendar, so that one made anew is ahead of the old one."""
        meta, spec, when = obj["metadata"], obj["spec"], timestamp()
        annotations = dict(meta.get("annotations") or {})
        annotations.pop(RELEASED, None)
        annotations[EPOCH] = str(next_epoch(_last(annotations.get(EPOCH, ""))))
        spec = {
            **spec,
            "holderIdentity": self.holder,
            "leaseDurationSeconds": math.ceil(self.ttl),
            "acquireTime": when,
            "renewTime": when,
            "leaseTransitions": int(spec.get("leaseTransitions") or 0) + bool(meta.get("resourceVersion")),
        }
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {**meta, "annotations": annotations},
            "spec": spec,
        }


class KubernetesLease:
    """Leadership of one epoch."""

    def __init__(self, election: KubernetesElection, stored: Object, asked: float) -> None:
        self.epoch = int(stored["metadata"]["annotations"][EPOCH])
        self._election = election
        self._stored = stored
        self._writing = asyncio.Lock()
        self._until = 0.0
        self._released = False
        self._extend(asked)

    def _extend(self, asked: float) -> None:
        """Lead on from ``asked``, when the renewal was begun; what has run out or was given back stays so."""
        if not self._released and (self.valid or not self._until):
            self._until = asked + self._election.ttl * (1 - MARGIN)

    @property
    def left(self) -> float:
        """Seconds for which it is certain that nobody else leads; 0 if it is not."""
        return max(0.0, self._until - now())

    @property
    def valid(self) -> bool:
        """Whether the lease cannot have expired yet."""
        return self.left > 0

    @property
    def annotations(self) -> dict[str, str]:
        """What is noted on the lease."""
        return dict(self._stored["metadata"].get("annotations") or {})

    async def keep(self) -> str:
        """Renew every third of the lease; return why leadership is over."""
        pause = self._election.ttl / 3
        while self.valid:
            await asyncio.sleep(pause)
            asked, pause = now(), self._election.ttl / 3
            if not self.valid:  # the process was stopped: what it decided meanwhile was never committed
                break
            try:
                await self._write({"renewTime": timestamp()})
            except Fenced as error:
                self._until = 0.0
                return error.message
            except (DirectPVError, TimeoutError) as error:
                log.warning("lease not renewed", extra={"error": str(error) or "no answer in time"})
                pause = min(RETRY_SECONDS, self._election.ttl / 10)
            else:
                self._extend(asked)
        return "the lease could not be renewed in time"

    async def outrun(self, epoch: int) -> None:
        """Make the epoch of this lease later than ``epoch``, which was found in the registry.

        Raises:
            Fenced: Somebody else leads.
            Unavailable: The API server does not answer.
        """
        if epoch >= self.epoch:
            log.warning("an object of a later epoch was found", extra={"found": epoch, "epoch": self.epoch})
            await self.note(EPOCH, str(epoch + 1))
            self.epoch = epoch + 1

    async def note(self, annotation: str, value: str) -> None:
        """Note something on the lease, where the next leader finds it.

        Raises:
            Fenced: Somebody else leads.
            Unavailable: The API server does not answer.
        """
        try:
            await self._write({"renewTime": timestamp()}, {annotation: value})
        except TimeoutError as error:
            raise Unavailable("the API server did not answer in time") from error

    async def _write(self, spec: Object, annotations: Object | None = None) -> None:
        """Write the lease if it is still ours; two attempts, in a third of its time."""
        async with timeout(self._election.ttl / 3), self._writing:
            for again in (True, False):
                try:
                    await self._write_once(spec, annotations or {})
                    return
                except (Stale, Missing):
                    if not again:
                        raise
                    await self._read_again()

    async def _write_once(self, spec: Object, annotations: Object) -> None:
        meta = self._stored["metadata"]
        wanted = {
            **self._stored,
            "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), **annotations}},
            "spec": {**self._stored["spec"], **spec},
        }
        client, ttl = self._election.client, self._election.ttl
        self._stored = await client.replace(self._election.resource, wanted, within=ttl / 3)
        self._election.answered()

    async def _read_again(self) -> None:
        """Somebody changed the lease: go on if it is still ours."""
        ours = self._election.holder, str(self.epoch)
        try:
            found = await self._election.client.get(self._election.resource, LEASE, within=self._election.ttl / 3)
        except Missing:
            raise Fenced(f"epoch {self.epoch} of {ours[0]} is over; somebody deleted the lease") from None
        holder, epoch = found["spec"].get("holderIdentity"), (found["metadata"].get("annotations") or {}).get(EPOCH)
        if (holder, epoch) != ours:
            raise Fenced(f"epoch {self.epoch} of {ours[0]} is over; {holder or 'nobody'} holds the lease")
        self._stored = found

    async def release(self) -> None:
        """Let somebody else lead at once."""
        held, self._until, self._released = self.valid, 0.0, True
        if not held:
            return
        try:
            await self._write({"holderIdentity": "", "renewTime": timestamp()}, {RELEASED: str(self.epoch)})
        except (DirectPVError, TimeoutError) as error:
            log.info("lease not released; it expires by itself", extra={"error": str(error) or "no answer in time"})


def _given_back(obj: Object) -> bool:
    notes = obj["metadata"].get("annotations") or {}
    return not obj["spec"].get("holderIdentity") and EPOCH in notes and notes.get(RELEASED) == notes[EPOCH]


def timestamp() -> str:
    """Return the time as Kubernetes' MicroTime."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _last(text: str) -> int:
    """Return the epoch that stands on the lease; what is nobody's is told, and begun anew."""
    epoch = epoch_in(text)
    if epoch is not None and may_be_followed(epoch):
        return epoch
    if text:
        log.error("the lease has an epoch that is nobody's; it is ignored", extra={"found": text[:40]})
    return 0
