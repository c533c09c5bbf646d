"""Another secret of the bus in place of the one there is, and with it all keys and certificates, without an outage.

Three steps, each of which ends when all pods have taken it. With the first, everybody who has the secret trusts what
is made of the new one, too; with the second, the new one is used; with the third, the former is trusted no more. How
far it has come stands at the Secret, so that whoever begins again goes on there.
"""

import base64
import functools
import secrets
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from directpv_cli.install.applying import bus_secret, takeover
from directpv_cli.install.applying.kube import Cluster
from directpv_cli.install.objects.base import SELECTOR, Object
from directpv_cli.install.objects.controller import NAME as CONTROLLER
from directpv_cli.install.objects.nats import NAME, SECRET, SECRET_HASH
from directpv_cli.install.objects.node import NAME as NODE
from directpv_cli.install.objects.paths import Ref
from directpv_common.access.installation import ALSO
from directpv_common.protocol.errors import FailedPrecondition
from directpv_common.protocol.names import BUS_CA, BUS_CA_KEY, BUS_CA_VOLUME, BUS_VOLUME, GROUP, NODE_POD

STAGE: Final = f"{GROUP}/rotation"
"""Annotation of the Secret: the step that is being taken."""
READERS: Final = (Ref("Deployment", CONTROLLER), Ref("StatefulSet", NAME))
NODES: Final = Ref("DaemonSet", NODE)
REF: Final = Ref("Secret", SECRET)


class Stage(StrEnum):
    """A step."""

    TRUSTING = "trusting"
    USING = "using"
    ENDING = "ending"


class Step(NamedTuple):
    """What comes next."""

    stage: Stage
    data: dict[str, str | None]
    """What changes in the Secret; None: it goes."""


Wait = Callable[[str, Callable[[], Awaitable[list[str]]]], Awaitable[None]]
"""Takes what is waited for, in words, and what says who is not there yet; returns when nobody is, or raises."""


def next_step(stage: str, data: dict[str, str], fresh: str) -> Step | None:
    """Return what follows when ``stage`` has been taken by all; None: nothing, it is done.

    Args:
        stage: The last that was begun; empty: none.
        data: Of the Secret.
        fresh: A secret that nobody had before.

    Raises:
        FailedPrecondition: Somebody else is changing the secret; says what to do.
    """
    used, also = data.get(bus_secret.KEY, ""), data.get(ALSO, "")
    match stage:
        case "" if also:
            raise FailedPrecondition(
                f"{REF} has {ALSO} already, which this command did not put there: take it out, or annotate it with "
                f"{STAGE}={Stage.TRUSTING} to go on from there"
            )
        case "":
            return Step(Stage.TRUSTING, {ALSO: fresh})
        case Stage.TRUSTING if also:
            return Step(Stage.USING, {bus_secret.KEY: also, ALSO: used})
        case Stage.USING:
            return Step(Stage.ENDING, {ALSO: None})
        case Stage.ENDING:
            return None
    raise FailedPrecondition(f"{REF} is in no state that this command leaves: {stage!r}; remove its annotation {STAGE}")


async def rotate(cluster: Cluster, wait: Wait, say: Callable[[str], None]) -> None:
    """Take all steps, or those that are left; ``say`` is told of each.

    Raises:
        FailedPrecondition: It cannot be done now, or not in this time; says what to do.
        DirectPVError: The API server refuses, or does not answer.
    """
    await _ready(cluster)
    while True:
        found = await _secret(cluster)
        stage, data = _read(found)
        if stage:
            say(_WORDS.get(stage, stage))
            await _taken(cluster, wait, len(data))
        step = next_step(stage, data, secrets.token_hex(bus_secret.BYTES))
        await _write(cluster, found, step)
        if step is None:
            return


_WORDS: Final[Mapping[str, str]] = {
    Stage.TRUSTING: "1 of 3: what is made of the new secret is trusted, too",
    Stage.USING: "2 of 3: the new secret is used",
    Stage.ENDING: "3 of 3: the former secret is trusted no more",
}


async def _ready(cluster: Cluster) -> None:
    """Make sure that all pods are such as can take a second secret, and that none is being replaced."""
    for ref in (*READERS, NODES):
        live = await cluster.get(ref)
        if live is None or not _reads(live):
            raise FailedPrecondition(
                f"{ref} reads no secret of the bus: there is no installation of this version with a NATS of its own"
            )
        if ref in READERS and not takeover.is_rolled_out(live):
            raise FailedPrecondition(f"{ref}: not all of its pods run, of the present version; repeat when they do")


def _reads(live: Object) -> bool:
    volumes = {volume.get("name") for volume in live["spec"]["template"]["spec"].get("volumes") or ()}
    return (BUS_CA_VOLUME if live["kind"] == "DaemonSet" else BUS_VOLUME) in volumes


async def _secret(cluster: Cluster) -> Object:
    found = await cluster.get(REF)
    if found is None:
        raise FailedPrecondition(f"{REF} is not there: run install")
    return found


def _read(found: Object) -> tuple[str, dict[str, str]]:
    stage = (found["metadata"].get("annotations") or {}).get(STAGE, "")
    data = {key: base64.b64decode(value).decode() for key, value in (found.get("data") or {}).items()}
    return stage, {key: value for key, value in data.items() if key in (bus_secret.KEY, ALSO)}


async def _write(cluster: Cluster, found: Object, step: Step | None) -> None:
    """Write a step, all of it or nothing; Conflict if somebody else has written meanwhile."""
    version = found["metadata"]["resourceVersion"]
    stage = step.stage.value if step is not None else None
    body: dict[str, Any] = {"metadata": {"resourceVersion": version, "annotations": {STAGE: stage}}}
    if step is not None:
        body["data"] = {
            key: base64.b64encode(value.encode()).decode() if value is not None else None
            for key, value in step.data.items()
        }
    await cluster.patch(REF, body)


async def _taken(cluster: Cluster, wait: Wait, trusted: int) -> None:
    """Have the pods take what the Secret has now: who reads it, and then the nodes, if other certificates count."""
    digest = await bus_secret.ensure(cluster)
    for ref in READERS:
        await _annotate(cluster, ref, SECRET_HASH, digest)
        await wait("pods that read the secret", functools.partial(_behind, cluster, ref))
    await wait("certificates that controllers publish", functools.partial(_unpublished, cluster, trusted))
    trust = bus_secret.shown(await certificates(cluster))
    await _annotate(cluster, NODES, bus_secret.TRUST_HASH, trust)
    await wait("nodes that read the certificates", functools.partial(late_nodes, cluster, trust))


async def _behind(cluster: Cluster, ref: Ref) -> list[str]:
    live = await cluster.get(ref)
    return [] if live is not None and takeover.is_rolled_out(live) else [str(ref)]


async def _unpublished(cluster: Cluster, trusted: int) -> list[str]:
    there = (await certificates(cluster)).count("BEGIN CERTIFICATE")
    return [] if there == trusted else [f"{there} of {trusted} in ConfigMap {BUS_CA}"]


async def _annotate(cluster: Cluster, ref: Ref, name: str, value: str) -> None:
    await cluster.patch(ref, {"spec": {"template": {"metadata": {"annotations": {name: value}}}}})


async def certificates(cluster: Cluster) -> str:
    """Return the certificates that controllers publish, as PEM; empty: none."""
    found = await cluster.get(Ref("ConfigMap", BUS_CA))
    return str(((found or {}).get("data") or {}).get(BUS_CA_KEY, ""))


async def late_nodes(cluster: Cluster, trust: str) -> list[str]:
    """Return the nodes whose pods have not taken what is trusted now; who is away takes it when he is back."""
    there = {node["metadata"]["name"] async for page in cluster.pages("Node") for node in page if _is(node, "Ready")}
    late = []
    selector = f"{SELECTOR}={NODE_POD}"
    async for page in cluster.pages("Pod", selector=selector):
        for pod in page:
            node = pod["spec"].get("nodeName", "")
            has = (pod["metadata"].get("annotations") or {}).get(bus_secret.TRUST_HASH) == trust
            if node in there and not (has and _is(pod, "Ready")):
                late.append(node)
    return sorted(late)


def _is(live: Object, condition: str) -> bool:
    conditions = (live.get("status") or {}).get("conditions") or ()
    return any(each["type"] == condition and each["status"] == "True" for each in conditions)
