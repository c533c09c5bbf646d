"""What a term of leadership stands on: a durable registry and an election, on one backend or another.

Both stand on a store whose durability is proven, never on the bus. Two backends fit behind the same Protocols: one
SQLite file, and custom resources of Kubernetes, which others may change as well.
"""

from collections.abc import Awaitable, Iterable
from typing import Protocol

from directpv_common.protocol.errors import DirectPVError, Unavailable
from directpv_common.protocol.messages import VolumeRecord
from directpv_controller.core.placing.model import Snapshot, Writes


class RegistryDamaged(DirectPVError):
    """The registry is there and cannot be understood; nothing was written to it. People must decide."""


class RegistryLost(Unavailable):
    """The registry is no longer the one that was opened: deleted or replaced. What was written may be gone."""


class OutcomeUnknown(Unavailable):
    """A commit failed in a way that leaves open whether it is durable: memory must be read anew."""


class Lease(Protocol):
    """Leadership for a bounded time."""

    @property
    def epoch(self) -> int:
        """Grows with each take-over; every write and every order to a node carries it."""
        ...

    @property
    def valid(self) -> bool:
        """Whether it is certain, at this very moment and by the clock alone, that nobody else leads."""
        ...

    async def keep(self) -> str:
        """Renew until that fails; return why leadership is over. Never raises."""
        ...

    async def release(self) -> None:
        """Let somebody else lead at once; does nothing if leadership is over already. Bounded in time."""
        ...


class Election(Protocol):
    """Chooses one leader among all controllers of the installation."""

    async def campaign(self) -> Lease:
        """Wait until this process leads.

        Raises:
            RegistryLost: The store must be opened again first.
            RegistryDamaged: The store cannot be understood.
        """
        ...

    @property
    def reachable(self) -> bool:
        """Whether the store answered lately: a standby that cannot reach it is no standby."""
        ...


class Registry(Protocol):
    """Keeps drives and volumes."""

    @property
    def id(self) -> str:
        """Made once with the registry: epochs of different registries cannot be compared."""
        ...

    async def load(self) -> Snapshot:
        """Read everything. The caller leads already, so that nothing changes underneath.

        A record that cannot be understood is told in the snapshot.

        Raises:
            RegistryDamaged: Most records cannot be understood; names one.
        """
        ...

    async def rebuilding(self) -> bool:
        """Tell whether the registry is new, and may lack drives that nodes still have."""
        ...

    async def rebuilt(self, lease: Lease) -> None:
        """Note that nodes had the time to report their drives.

        Raises:
            Fenced: Somebody else leads.
        """
        ...

    def commit(self, writes: Writes, lease: Lease) -> Awaitable[None]:
        """Make ``writes`` durable, all or nothing, in the order of the calls of this method.

        Raises:
            Fenced: ``lease`` is not the current one; nothing was written.
            RegistryLost: Deleted or replaced.
            OutcomeUnknown: It may or may not be durable.
            Unavailable: Certainly not written.
        """
        ...

    def show(self, volumes: Iterable[VolumeRecord]) -> None:
        """Show, some time later, where these volumes are mounted; for people and other tools, so nobody waits."""
        ...
