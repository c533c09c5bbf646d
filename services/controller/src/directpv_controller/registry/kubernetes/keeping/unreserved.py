"""Volumes that a former leader made, and died before it had reserved their space: promised to nobody.

One that fits is taken over, as any that its drive does not show. One that does not, since somebody else has got the
space meanwhile, would be promised what another volume has: its object goes.
"""

import logging

from directpv_common import crd
from directpv_common.crd import Object
from directpv_common.protocol.messages import VolumeStatus
from directpv_controller.registry.kubernetes.apiserver.client import Client
from directpv_controller.registry.kubernetes.apiserver.errors import Missing
from directpv_controller.registry.kubernetes.election import KubernetesLease
from directpv_controller.registry.kubernetes.keeping.shelf import VOLUMES, Shelf, Unreserved
from directpv_controller.registry.kubernetes.keeping.writer import Writer

log = logging.getLogger(__name__)


async def withdraw(shelf: Shelf, client: Client, writer: Writer, lease: KubernetesLease) -> None:
    """Remove what does not fit on its drive, and was promised to nobody, from API server and shelf.

    Raises:
        Unavailable: It is not certain that it is gone.
        OutcomeUnknown: Likewise.
        Fenced: Somebody else leads.
    """
    for fsuuid, found in shelf.unreserved.items():
        for name in sorted(found.names):
            if not shelf.crowded(fsuuid):
                break
            try:
                obj = await client.get(VOLUMES, crd.object_name(name))
            except Missing:
                continue
            if _promised(obj, found):
                continue
            meta = obj["metadata"]
            await writer.remove(VOLUMES, meta["name"], meta["resourceVersion"], [], lease)
            shelf.drop(name)
            log.warning("volume that nobody was told of, and that does not fit, is gone", extra={"volume": name})


def _promised(obj: Object, found: Unreserved) -> bool:
    """Tell whether somebody may rely on a volume.

    Its leader has told of it only after the drive showed it. Later leaders let their drives show all that they know of.
    """
    epoch = crd.epoch_of(obj)
    pending = obj["status"].get("status") == VolumeStatus.PENDING
    return epoch is None or crd.odd_epoch(obj) != "" or epoch > found.epoch or not pending
