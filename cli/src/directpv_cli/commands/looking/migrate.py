"""``migrate``: what is left of DirectCSI (DirectPV up to v3), and what is in the way of each; nothing is changed."""

import asyncio
from typing import Any

from directpv_cli.install.applying.kube import Cluster, connect
from directpv_cli.install.objects.paths import Ref
from directpv_cli.reading.settings import settings
from directpv_cli.recovering.core import legacy
from directpv_cli.recovering.core.legacy import DRIVES, GOOD, GROUP, PLURALS, PV, SERVER, VOLUMES, Left, Legacy
from directpv_cli.recovering.reading import name_of
from directpv_cli.showing.terminal import tables
from directpv_cli.showing.terminal.cells import Column
from directpv_cli.showing.terminal.documents import output_format
from directpv_cli.showing.terminal.lines import fail, say
from directpv_common.protocol.counts import counted
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition

COLUMNS = (Column("KIND"), Column("NAME"), Column("STATE"), Column("DETAIL", folds=24))


def migrate(output: str) -> None:
    """Show what is left of DirectCSI; the exit status is 0 only if nothing is in the way of any of it."""
    printer = output_format(output, wide=False)
    try:
        found = asyncio.run(_found())
    except DirectPVError as error:
        fail(error.message)
    if printer:
        printer([each._asdict() for each in found])
    elif found:
        tables.show(COLUMNS, [[each.kind, each.name, str(each.state), each.detail] for each in found])
    if bad := sum(each.state not in GOOD for each in found):
        fail(f"{bad} of {counted(len(found), 'object')} of DirectCSI cannot be served as they are; nothing was changed")
    say("Nothing to migrate" + ("" if found else ": the cluster has no objects of DirectCSI"))


async def _found() -> list[Legacy]:
    async with connect(settings.kubeconfig, settings.context) as cluster:
        return legacy.found(
            Left(
                drives=await _legacy(cluster, DRIVES),
                volumes=await _legacy(cluster, VOLUMES),
                pvs=[item async for page in cluster.pages(PV) for item in page],
                known_drives=await _names(cluster, "DirectPVDrive"),
                known_volumes=await _names(cluster, "DirectPVVolume"),
                served=await cluster.get(Ref("DaemonSet", SERVER)) is not None,
            )
        )


async def _names(cluster: Cluster, kind: str) -> frozenset[str]:
    return frozenset([name_of(item) async for page in cluster.pages(kind) for item in page])


async def _legacy(cluster: Cluster, kind: str) -> list[dict[str, Any]]:
    """Return the objects of one kind of DirectCSI; none if the cluster does not know it.

    Raises:
        FailedPrecondition: It knows the kind, and serves no version of it.
    """
    plural = PLURALS[kind]
    definition = await cluster.get(Ref("CustomResourceDefinition", f"{plural}.{GROUP}"))
    if definition is None:
        return []
    versions = legacy.versions_of(definition)
    if not versions:
        raise FailedPrecondition(
            f"CustomResourceDefinition {plural}.{GROUP} serves no version: its objects cannot be read"
        )
    path = f"/apis/{GROUP}/{versions[0]}/{plural}"
    return [item async for page in cluster.pages(kind, path=path) for item in page]
