"""``clean``: deletes volumes that nobody has any more; Kubernetes is asked, with the rights of who types."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from msgspec.structs import replace

import directpv_common.protocol.messages as m
from directpv_cli.commands.deletions import still_there
from directpv_cli.commands.listing import all_volumes
from directpv_cli.install.applying.kube import connect
from directpv_cli.reaching.session import run
from directpv_cli.reaching.way import Tunnel, way
from directpv_cli.reading.released import Held, held, why_kept, why_refused
from directpv_cli.reading.selection import Pods
from directpv_cli.reading.settings import settings
from directpv_cli.showing.terminal.documents import output_format
from directpv_cli.showing.terminal.lines import fail, plain, say, trouble
from directpv_common.bus.bus import Bus
from directpv_common.protocol import names
from directpv_common.protocol.api import Controller
from directpv_common.protocol.counts import counted
from directpv_common.protocol.errors import DirectPVError, FailedPrecondition, NotFound

DELETE_SECONDS: Final = 30.0
LATER: Final = "Deleting"
"""Outcome of what was deleted, and whose data goes when its node can be asked."""
NO_CLUSTER: Final = (
    "without Kubernetes nobody can tell which volumes are released: name those that shall go, or give --kubeconfig"
)


@dataclass
class _Outcome:
    """What came of each volume that was selected."""

    deleted: list[m.VolumeInfo] = field(default_factory=list)
    later: dict[str, str] = field(default_factory=dict)
    """Of what is deleted, that whose data is not gone yet, with what will become of it."""
    going: dict[str, str] = field(default_factory=dict)
    """Those that were deleted before, and whose data is not gone yet, with what will become of them."""
    kept: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def clean(
    selection: m.ListVolumes,
    pods: Pods,
    *,
    dry_run: bool,
    output: str,
    ignore_not_found: bool,
    all_may_be_lost: bool = True,
) -> int:
    """Delete what is selected and nobody has; the exit status is 0 unless one could not be deleted.

    Args:
        selection: Names, or what volumes have in common.
        pods: Of which volumes.
        dry_run: Only say what would be deleted.
        output: Format; empty: for people.
        ignore_not_found: A name that is not there is no error.
        all_may_be_lost: What is named may be all that a cluster has, which then has lost its PersistentVolumes.

    Returns:
        How many are, or would be, deleted.
    """
    show = output_format(output, wide=False)
    named = bool(selection.names) and all_may_be_lost
    outcome = run(lambda bus: _clean(bus, selection, pods, named, dry_run=dry_run, required=not ignore_not_found))
    done = "would be deleted (dry run)" if dry_run else "deleted"
    for volume in outcome.deleted:
        where = f"{volume.node}/{volume.device or volume.record.fsuuid}"
        name = volume.record.name
        say(f"Volume {plain(name)} on {plain(where)} {plain(outcome.later.get(name, done))}")
    for name, why in outcome.kept.items():
        if name in selection.names:
            say(f"Volume {plain(name)} kept: {plain(why)}")
    if outcome.kept and not selection.names:
        kept, used = counted(len(outcome.kept), "volume"), "it is" if len(outcome.kept) == 1 else "they are"
        say(f"{kept} kept: {used} used, or may be")
    for name, why in outcome.going.items():
        say(f"Volume {plain(name)} was deleted already, and {plain(why)}")
    if not (outcome.deleted or outcome.going or outcome.kept or outcome.failed):
        say("no volumes match")
    if show is not None:
        show({"volumes": _documents(outcome, "WouldDelete" if dry_run else "Deleted")})
    for name, why in outcome.failed.items():
        trouble(f"{name}: {why}")
    if outcome.failed:
        were = "was" if len(outcome.failed) == 1 else "were"
        fail(f"{counted(len(outcome.failed), 'volume')} {were} not deleted")
    return len(outcome.deleted)


def _documents(outcome: _Outcome, done: str) -> list[dict[str, Any]]:
    later = outcome.later
    chosen = [volume.record.name for volume in outcome.deleted]
    rows = [(name, LATER if name in later else done, later.get(name, "")) for name in chosen]
    rows += [(name, LATER, why) for name, why in outcome.going.items()]
    rows += [(name, "Kept", why) for name, why in outcome.kept.items()]
    rows += [(name, "Error", why) for name, why in outcome.failed.items()]
    return [{"name": name, "outcome": word, "message": why} for name, word, why in rows]


async def _clean(
    bus: Bus, selection: m.ListVolumes, pods: Pods, named: bool, *, dry_run: bool, required: bool
) -> _Outcome:
    """Look for volumes first, and for what stands for them then: what is made meanwhile is seen."""
    outcome = _Outcome(going=await still_there(bus, selection.names))
    names_left = tuple(name for name in selection.names if name not in outcome.going)
    found: list[m.VolumeInfo] = []
    if names_left or not selection.names:
        found = await all_volumes(bus, replace(selection, names=names_left), required=required)
    volumes = [each for each in found if pods.match(each)]
    standing = await _standing(selection)
    if standing is not None and not named and (why := why_refused(volumes, standing)):
        raise FailedPrecondition(why)
    for volume in volumes:
        name = volume.record.name
        if why := why_kept(volume, standing, datetime.now(UTC)):
            outcome.kept[name] = why
            continue
        try:
            if not dry_run:
                await _delete(bus, volume)
            outcome.deleted.append(volume)
        except DirectPVError as error:
            outcome.failed[name] = error.message
    if not dry_run:
        outcome.later = await still_there(bus, [volume.record.name for volume in outcome.deleted])
    return outcome


async def _standing(selection: m.ListVolumes) -> dict[str, list[Held]] | None:
    """Return what stands for volumes in Kubernetes; None if there is none, and volumes are named.

    Raises:
        FailedPrecondition: There is none, and nobody says which volumes are meant.
    """
    cluster = (
        settings.kubeconfig
        or settings.context
        or isinstance(way(settings.nats_url, "", os.environ, os.path.exists), Tunnel)
    )
    if not cluster:
        if not selection.names:
            raise FailedPrecondition(NO_CLUSTER)
        return None
    async with connect(settings.kubeconfig, settings.context) as kubernetes:
        return held([item async for page in kubernetes.pages("PersistentVolume") for item in page], names.DRIVER_NAME)


async def _delete(bus: Bus, seen: m.VolumeInfo) -> None:
    """Delete the very volume that was looked at: its name may be another one's by now."""
    asked = m.VolumeId(name=seen.record.name)
    try:
        now = await bus.call(Controller.VOLUME_GET, asked, within=DELETE_SECONDS)
    except NotFound:
        return
    if (now.record.fsuuid, now.record.incarnation) != (seen.record.fsuuid, seen.record.incarnation):
        raise FailedPrecondition("it is another volume of that name by now; look again")
    await bus.call(Controller.VOLUME_DELETE, asked, within=DELETE_SECONDS)
