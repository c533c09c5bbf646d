"""Why a drive, a volume, a device or a claim is as it is, in lines that end with what would help. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

import directpv_common.protocol.messages as m
from directpv_cli.showing.health import HELD_UP_SECONDS, held_up
from directpv_cli.showing.moving import WAITS_FOR
from directpv_cli.showing.titles import device_words
from directpv_common.bus.cloud_event import CloudEvent
from directpv_common.protocol import names
from directpv_common.protocol.reasons import advice_for, reason_for, told
from directpv_common.protocol.units import format_bytes, parse_bytes

SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
"""Annotation by which the scheduler tells the provisioner where a claim's pod shall run. Source: Kubernetes."""
HELP: Final = "  help: "


def of_drive(info: m.DriveInfo, events: Sequence[CloudEvent]) -> list[str]:
    """Return why the drive takes no new volumes, or that it does."""
    record = info.record
    name = f"{record.node}/{device_words(record)} ({record.fsuuid})"
    found = list(_of_drive(info, events))
    if found:
        return [f"drive {name} takes no new volumes, or is not well:", *found]
    return [
        f"drive {name} is Ready and takes new volumes: {format_bytes(info.free)} free of {format_bytes(record.total)}"
    ]


def _of_drive(info: m.DriveInfo, events: Sequence[CloudEvent]) -> Iterator[str]:
    record = info.record
    if not info.online:
        yield f"- node {record.node} is offline; what is shown of the drive is what was last heard"
        yield f"{HELP}start the agent, or the machine, of {record.node}"
    if record.status is not m.DriveStatus.READY:
        yield f"- it is {record.status}"
    for condition in record.conditions:
        yield f"- {told(condition)}"
    advice = next((str(event.data["advice"]) for event in reversed(events) if event.data.get("advice")), "")
    if record.conditions and not advice:  # it is not well for longer than events are looked at
        advice = advice_for(reason_for(record.conditions[0].type), record.fsuuid)
    if advice and (record.conditions or record.status is not m.DriveStatus.READY):
        yield f"{HELP}{advice}"
    if record.unschedulable:
        yield "- it is cordoned"
        yield f"{HELP}kubectl directpv uncordon {record.fsuuid}"
    for name in info.contested:
        yield f"- it shows volume {name}, which the registry does not have there"
        yield f"{HELP}kubectl directpv explain volume {name}"
    if info.strays:
        yield f"- {format_bytes(info.strays)} of it are taken by what the registry does not have there: not for others"
    if names.is_suspended(record.labels):
        yield "- it is suspended: its volumes show an empty read-only directory"
        yield f"{HELP}kubectl directpv resume drives {record.fsuuid}"
    if info.allocated >= record.total:
        yield "- all of it is allocated to volumes"
        yield f"{HELP}delete volumes on it, or expand the disk"


def of_volume(info: m.VolumeInfo, drive: m.DriveInfo | None, events: Sequence[CloudEvent]) -> list[str]:
    """Return how the volume is, and why."""
    record = info.record
    lines = [f"volume {record.name} is {info.status}, on {info.node}/{info.device or 'no device'} ({record.fsuuid})"]
    if info.status == m.VolumeStatus.PENDING:
        lines += [
            "- it was never staged: no pod has used it yet",
            f"{HELP}if a pod waits for it, see whether the node is online: kubectl directpv describe node {info.node}",
        ]
    if info.status == m.VolumeStatus.DELETING:
        lines += [
            "- it was deleted, and its data is not gone yet",
            f"{HELP}start its node if that is offline; see also: kubectl directpv events --volume {record.name}",
        ]
    if info.abnormal:
        lines.append(f"- {info.condition}")
    if names.is_suspended(record.labels):
        lines += [
            "- it is suspended: pods find an empty read-only directory",
            f"{HELP}kubectl directpv resume volumes {record.name}",
        ]
    if drive is not None and (info.abnormal or not drive.online):
        lines += of_drive(drive, events)
    return lines if len(lines) > 1 else [*lines, "the volume is well"]


def of_moves(moves: Sequence[m.MoveStatus]) -> list[str]:
    """Return how far the moves of a volume are, and what they wait for."""
    lines = []
    for move in moves:
        why = move.message or (f"waits for {WAITS_FOR}" if move.state is m.MoveState.WAITING else "")
        lines.append(f"it is being moved from drive {move.source} to {move.target}: {move.state}")
        if move.held_up >= HELD_UP_SECONDS:
            lines.append(f"- {held_up(move)}")
        elif why:
            lines.append(f"- {why}")
    return lines


def of_placement(asked: m.CreateVolume, placement: m.Placement) -> list[str]:
    """Return per candidate the filters that failed, and the smallest change that would help."""
    size = format_bytes(asked.required) if asked.required else "any size"
    if placement.drive and not placement.candidates:
        return [f"volume {asked.name} is placed on drive {placement.drive}"]
    if placement.drive:
        lines = [f"volume {asked.name} ({size}) can be placed now, on drive {placement.drive}; candidates:"]
    else:
        lines = [placement.summary or f"no drive can hold volume {asked.name}", "candidates, nearest first:"]
    for each in placement.candidates:
        name = f"{each.node}/{each.device or 'no device'} ({each.fsuuid}), {format_bytes(each.free)} free"
        lines.append(f"- {name}: {'; '.join(each.obstacles) or 'fits'}")
        lines += [f"{HELP}{change}" for change in each.changes]
    if placement.more or placement.unseen:
        lines.append(f"and {placement.more + placement.unseen} more drives")
    if not placement.candidates:
        lines.append("there are no drives: kubectl directpv discover, then init")
    return lines


def of_device(node: str, device: m.Device, owner: str) -> list[str]:
    """Return why a device may not become a drive, or how it can."""
    name = f"{node}/{device.name}"
    if owner:
        return [f"device {name} is drive {owner}", f"{HELP}kubectl directpv explain drive {owner}"]
    if device.denied:
        return [
            f"device {name} ({format_bytes(device.size)}) cannot be initialised:",
            *(f"- {why}" for why in device.denied),
        ]
    if device.needs_force:
        return [
            f"device {name} can be initialised, but carries a signature ({device.fs_type or 'unknown'}): what is on it "
            "would be lost",
            f'{HELP}kubectl directpv discover, then set select: "yes" for it in drives.yaml',
        ]
    return [
        f"device {name} can be initialised",
        f"{HELP}kubectl directpv discover, then kubectl directpv init drives.yaml",
    ]


def of_claim(claim: Mapping[str, Any], storage: Mapping[str, Any] | None, said: Sequence[str]) -> tuple[list[str], str]:
    """Return why a claim is as it is without asking us, and the volume's name if we must be asked.

    Args:
        claim: The PersistentVolumeClaim.
        storage: Its StorageClass; None: there is none of that name.
        said: Messages of the claim's events.
    """
    meta, spec = claim["metadata"], claim.get("spec", {})
    name = f"claim {meta.get('namespace', 'default')}/{meta['name']}"
    if spec.get("volumeName"):
        return [f"{name} is {claim.get('status', {}).get('phase', '?')}, by volume {spec['volumeName']}"], ""
    wanted = spec.get("storageClassName")
    if not wanted:
        return [f"{name} names no storage class", f"{HELP}set storageClassName: {names.DRIVER_NAME}"], ""
    if storage is None:
        return [f"{name} names the storage class {wanted}, which does not exist", f"{HELP}kubectl get storageclass"], ""
    if storage.get("provisioner") != names.DRIVER_NAME:
        return [f"{name} is not ours: class {wanted} is provisioned by {storage.get('provisioner')}"], ""
    lines = [f"{name} is Pending, of class {wanted}"]
    node = meta.get("annotations", {}).get(SELECTED_NODE, "")
    if storage.get("volumeBindingMode") == "WaitForFirstConsumer" and not node:
        lines += [
            "- no pod that uses it has been scheduled: its volume is made with the first one",
            f"{HELP}start a pod with it; if there is one: kubectl describe pod, for the scheduler says what it lacks",
        ]
    lines += [f"- {message}" for message in dict.fromkeys(said)][-3:]
    return lines, f"pvc-{meta['uid']}"


def refused_request(name: str, told: Mapping[str, Any]) -> m.ExplainPlacement:
    """Return what was refused, as its event tells.

    Raises:
        ValueError: The event is not such a one.
    """
    facts = {key: told[key] for key in ("parameters", "preferred", "requisite") if key in told}
    return msgspec.convert({"name": name, "required": told.get("capacity", 0), **facts}, m.ExplainPlacement)


def request_of(claim: Mapping[str, Any], storage: Mapping[str, Any], name: str) -> m.ExplainPlacement:
    """Return what external-provisioner would ask for the claim.

    Raises:
        ValueError: Its size cannot be read.
    """
    meta = claim["metadata"]
    size = claim["spec"].get("resources", {}).get("requests", {}).get("storage", "1")
    node = meta.get("annotations", {}).get(SELECTED_NODE, "")
    own = {names.PVC_NAME: meta["name"], names.PVC_NAMESPACE: meta.get("namespace", "default")}
    parameters = {**(storage.get("parameters") or {}), **own}
    return m.ExplainPlacement(
        name=name,
        required=parse_bytes(str(size)),
        parameters=parameters,
        requisite=({names.NODE: node},) if node else (),
    )
