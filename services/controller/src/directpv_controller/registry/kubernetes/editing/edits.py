"""Takes in what others do to drives and volumes: people, GitOps, upstream's plugin.

What they may decide (cordon, tier, labels, suspend, the deletion of a released volume) goes into the ledger. All else
on an object is ours: it is written again. Objects that are deleted by force are made again, since the drive still
carries what they stood for.
"""

import contextlib
from collections.abc import AsyncIterator

from directpv_common import crd
from directpv_common.process.lifecycle import background
from directpv_common.protocol.messages import DriveRecord, VolumeRecord, VolumeUse
from directpv_controller.leading.term import Term
from directpv_controller.nodes.nodes import Nodes
from directpv_controller.registry.kubernetes.apiserver.informer import Informer
from directpv_controller.registry.kubernetes.editing.drive_edits import DriveEdits
from directpv_controller.registry.kubernetes.editing.volume_edits import VolumeEdits
from directpv_controller.registry.kubernetes.keeping.registry import KubernetesRegistry
from directpv_controller.registry.kubernetes.keeping.shelf import DRIVES, VOLUMES


class Edits:
    """Listens for one term of leadership; see :class:`~.notice.Notice`."""

    def __init__(self, registry: KubernetesRegistry, term: Term, nodes: Nodes) -> None:
        self._registry, self._ledger = registry, term.ledger
        self._drives, self._volumes = DriveEdits(registry, term, nodes), VolumeEdits(registry, term, nodes)
        shelf, client = registry.shelf, registry.client
        names = {crd.object_name(name) for name in shelf.volumes}
        seen, versions = self._drives.seen, shelf.versions
        self.drives = Informer(client, DRIVES, seen, version=versions[DRIVES.name], known=set(shelf.drives))
        self.volumes = Informer(client, VOLUMES, self._volumes.seen, version=versions[VOLUMES.name], known=names)

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Follow drives and volumes while the block runs."""
        self._registry.noticed.listener = self
        for (noun, name), odd in self._registry.shelf.odd.items():
            self._drives.tell_odd(noun, name, odd)
        try:
            async with background(self.drives.run(), self.volumes.run()):
                yield
        finally:
            self._drives.stop()
            self._volumes.stop()

    def drive_edited(self, base: DriveRecord, theirs: DriveRecord) -> None:
        """See :class:`~.notice.Notice`."""
        self._drives.drive_edited(base, theirs)

    def volume_edited(self, base: VolumeRecord, theirs: VolumeRecord) -> None:
        """See :class:`~.notice.Notice`."""
        self._volumes.volume_edited(base, theirs)

    def recreated(self, noun: str, name: str) -> None:
        """See :class:`~.notice.Notice`."""
        (self._drives if noun == "drive" else self._volumes).recreated(noun, name)

    def withdrawn(self, record: VolumeRecord) -> None:
        """See :class:`~.notice.Notice`."""
        self._volumes.withdrawn(record)

    def use_of(self, name: str) -> VolumeUse | None:
        """Return where a volume is mounted; None: not known."""
        volume = self._ledger.volumes.get(name)
        if volume is None or not volume.seen:
            return None
        return volume.use or VolumeUse()
