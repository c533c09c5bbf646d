"""Puts objects into a cluster: each by server-side apply, in order, over whatever is there."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from directpv_cli.install.applying import bus_secret, fit, guard, takeover
from directpv_cli.install.applying.kube import JSON_PATCH, POLL_SECONDS, Cluster
from directpv_cli.install.applying.replace import remove
from directpv_cli.install.objects import nats
from directpv_cli.install.objects.base import Object
from directpv_cli.install.objects.kube_version import NEWEST, OLDEST, KubeVersion, parse_kube_version
from directpv_cli.install.objects.manifest import CRD
from directpv_cli.install.objects.paths import Ref
from directpv_common.calls.scopes import timeout
from directpv_common.protocol.errors import Conflict, DirectPVError, FailedPrecondition, InvalidRequest, NotFound

ESTABLISH_SECONDS: Final = 30.0
TERMINATE_SECONDS: Final = 60.0
ADOPT_TRIES: Final = 5
SERVERS: Final = Ref("StatefulSet", nats.NAME)

Note = Callable[[Object], None]


@dataclass
class Outcome:
    """What an installation did."""

    applied: list[Ref] = field(default_factory=list)
    changed: list[Ref] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    removed: list[Ref] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """For the administrator: what is left to do, or was kept."""


async def kube_version(cluster: Cluster) -> KubeVersion:
    """Return the server's version; minor versions such as ``29+`` are taken as their number.

    Raises:
        DirectPVError: No API server, or no version.
    """
    reply = await cluster.call("GET", "/version", about="version of Kubernetes")
    digits = "".join(letter for letter in str(reply.get("minor", "")) if letter.isdigit())
    return parse_kube_version(f"{reply.get('major', '1')}.{digits}")


def unsupported(version: KubeVersion) -> str:
    """Return a warning about a version whose APIs may be others than ours; empty if it is fine."""
    if OLDEST <= version <= NEWEST:
        return ""
    return (
        f"Kubernetes {version} may lack what DirectPV needs: {OLDEST} to {NEWEST} have the APIs that it uses, and "
        f"{NEWEST} is the one that is tested"
    )


def _tell_of_helm(live: Object, outcome: Outcome) -> None:
    note = (
        f"Helm release {takeover.helm_release(live)} has installed these objects, and will make them its own again: "
        "upgrade with helm upgrade, or uninstall the release first"
    )
    if takeover.helm_release(live) and note not in outcome.notes:
        outcome.notes.append(note)


async def install(cluster: Cluster, items: Sequence[Object], done: Note) -> Outcome:
    """Apply ``items`` in order; ``done`` is called with each that is in.

    An object that fails is told of, and the rest goes on, unless what follows cannot be without it: a namespace or a
    definition. Nothing is undone: a repeat goes on where this ended.
    """
    outcome = Outcome()
    guarded, digest = any(Ref.of(item) == SERVERS for item in items), ""
    for item in items:
        try:
            if Ref.of(item) == SERVERS:
                await guard.expected(cluster)
            await _apply(cluster, bus_secret.told(item, digest) if digest else item, outcome)
        except DirectPVError as error:
            outcome.failures.append(error.message)
            if item["kind"] in ("Namespace", CRD):
                return outcome
        else:
            done(item)
            if item["kind"] == "Namespace" and guarded:
                digest = await _secret(cluster, outcome)
    return outcome


async def _secret(cluster: Cluster, outcome: Outcome) -> str:
    """Return what changes with the secret; nothing if there is none that is good."""
    try:
        return await bus_secret.ensure(cluster)
    except DirectPVError as error:
        outcome.failures.append(error.message)
        return ""


async def _apply(cluster: Cluster, item: Object, outcome: Outcome) -> None:
    ref = Ref.of(item)
    live = await cluster.get(ref)
    if live is not None and "deletionTimestamp" in live["metadata"]:
        await _settled(cluster, live, outcome)
        live = None
    if live is not None:
        _tell_of_helm(live, outcome)
    if live is not None and (why := takeover.must_be_replaced(item, live)):
        outcome.notes += await remove(cluster, live, why)
        live = None
    fitted = fit.fitted(bus_secret.kept(item, live), live)
    if kept := fit.kept(item, fitted):
        outcome.notes.append(f"{ref} keeps its {', '.join(kept)}")
    try:
        now = await _put(cluster, fitted, live)
    except InvalidRequest as error:
        if live is None:
            raise
        raise InvalidRequest(
            f"{error.message}; what is there cannot be changed into ours: delete {ref} and repeat"
        ) from error
    outcome.applied.append(ref)
    if live is None or now["metadata"].get("resourceVersion") != live["metadata"].get("resourceVersion"):
        outcome.changed.append(ref)
    outcome.notes += _beside(item, now)
    if item["kind"] == CRD:
        await _established(cluster, ref)


async def _put(cluster: Cluster, item: Object, live: Object | None) -> Object:
    """Make the live object ours, and only that. An apply gives fields that nobody manages a manager first."""
    if live is not None and not live["metadata"].get("managedFields"):
        live = await cluster.apply(takeover.bare(item))
    if live is not None:
        await _adopt(cluster, item, live)
    return await cluster.apply(item)


def _beside(item: Object, now: Object) -> list[str]:
    """Tell of what came into a workload by itself: admission adds it to whatever is applied."""
    names = ", ".join(name for _, name in takeover.strangers(item, now))
    return [f"{Ref.of(item)} also has {names}, which is not ours; an admission webhook puts it there"] if names else []


async def _settled(cluster: Cluster, live: Object, outcome: Outcome) -> None:
    """Wait for the end of an object that is being deleted; an earlier installation may have begun to replace it.

    Raises:
        FailedPrecondition: It stays; says what holds it.
    """
    ref = Ref.of(live)
    if live["kind"] in takeover.WORKLOADS:
        outcome.notes += await remove(cluster, live, "it is being deleted")
    elif not await cluster.gone(ref, TERMINATE_SECONDS):
        held = ", ".join(live["metadata"].get("finalizers") or []) or "its contents"
        raise FailedPrecondition(
            f"{ref} is being deleted, and was not gone within {TERMINATE_SECONDS:.0f} s (held by {held}); repeat later"
        )


async def _adopt(cluster: Cluster, item: Object, live: Object) -> None:
    """Make ours what earlier installers own in the object."""
    ref = Ref.of(item)
    for _ in range(ADOPT_TRIES):
        fields = takeover.adopted_fields(item, live)
        if fields is None:
            return
        patch = [
            {"op": "replace", "path": "/metadata/managedFields", "value": fields},
            {"op": "replace", "path": "/metadata/resourceVersion", "value": live["metadata"]["resourceVersion"]},
        ]
        try:
            await cluster.patch(ref, patch, JSON_PATCH)
            return
        except Conflict:
            found = await cluster.get(ref)
            if found is None:
                return
            live = found
        except NotFound:
            return
    raise Conflict(f"{ref} is changed by others all the time; repeat")


async def _established(cluster: Cluster, ref: Ref) -> None:
    with contextlib.suppress(TimeoutError):
        async with timeout(ESTABLISH_SECONDS):
            while True:
                if _is_established(await cluster.get(ref)):
                    return
                await asyncio.sleep(POLL_SECONDS)
    raise FailedPrecondition(f"{ref} is not served after {ESTABLISH_SECONDS:.0f} s; look at its conditions")


def _is_established(definition: Object | None) -> bool:
    conditions = (definition or {}).get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


async def rolled_out(cluster: Cluster, items: Sequence[Object], within: float) -> list[Ref]:
    """Wait at most ``within`` seconds until all pods are of the new version and ready; return what is not there yet."""
    waiting = [Ref.of(item) for item in items if item["kind"] in takeover.WORKLOADS]
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    while True:
        waiting = [ref for ref in waiting if not await _is_rolled_out(cluster, ref)]
        if not waiting or loop.time() >= end:
            return waiting
        await asyncio.sleep(min(1.0, max(0.0, end - loop.time())))


async def _is_rolled_out(cluster: Cluster, ref: Ref) -> bool:
    live = await cluster.get(ref)
    return live is not None and takeover.is_rolled_out(live)


async def remove_leftovers(cluster: Cluster, waiting: Sequence[Ref], outcome: Outcome) -> None:
    """Remove upstream's account and its wide rights, as soon as no pod uses them any more."""
    there = [ref for ref in takeover.LEFTOVERS if await cluster.get(ref) is not None]
    if not there:
        return
    legacy = [str(ref) for ref in takeover.LEGACY if await cluster.get(ref) is not None]
    if legacy:
        outcome.notes.append(
            f"{' and '.join(legacy)} still serve volumes of DirectCSI; upstream's rights stay for them"
        )
        return
    if waiting:
        outcome.notes.append(
            "upstream's ServiceAccount directpv-min-io, which may read every Secret, stays until all its pods are "
            "replaced; run install again then, or with --wait"
        )
        return
    for ref in there:
        if await cluster.delete(ref):
            outcome.removed.append(ref)
