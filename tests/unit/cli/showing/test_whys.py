"""Why something is as it is: the filter that failed, and the smallest change that would help."""

import uuid

import msgspec
import pytest

import directpv_common.protocol.messages as m
from directpv_cli.showing import whys
from directpv_common.bus.cloud_event import CloudEvent
from directpv_common.protocol import names

ID = str(uuid.UUID(int=7))
CLASS = {"provisioner": names.DRIVER_NAME, "volumeBindingMode": "WaitForFirstConsumer", "parameters": {"a": "b"}}


def drive(**facts: object) -> m.DriveInfo:
    asked = {"fsuuid": ID, "node": "n1", "device": "sda", "total": 4 << 30, "overhead": 0, **facts}
    online = bool(asked.pop("online", True))
    return m.DriveInfo(record=m.DriveRecord(**asked), free=1 << 30, allocated=1, volumes=2, online=online)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "why", "helps"),
    [
        ({}, "is Ready and takes new volumes: 1 GiB free", ""),
        ({"unschedulable": True}, "it is cordoned", f"uncordon {ID}"),
        ({"labels": {names.SUSPEND: "true"}}, "it is suspended", f"resume drives {ID}"),
        ({"online": False}, "node n1 is offline", "start the agent"),
        ({"status": m.DriveStatus.LOST}, "it is Lost", "put the disk back"),
    ],
)
def test_a_drive_says_what_keeps_it_from_taking_volumes_and_what_helps(
    facts: dict[str, object], why: str, helps: str
) -> None:
    told = CloudEvent(id="1", source="s", type="t", subject=ID, time="", data={"advice": "put the disk back"})
    text = "\n".join(whys.of_drive(drive(**facts), [told]))

    assert why in text
    assert helps in text
    assert ("help:" in text) is bool(helps)


def test_a_drive_that_shows_a_volume_which_is_elsewhere_says_where_to_look() -> None:
    text = "\n".join(whys.of_drive(msgspec.structs.replace(drive(), contested={"v1": ""}, strays=3 << 30), []))

    assert "shows volume v1, which the registry does not have there" in text
    assert "explain volume v1" in text
    assert "3 GiB of it are taken by what the registry does not have there" in text


def test_a_volume_that_is_being_deleted_says_what_it_waits_for() -> None:
    record = m.VolumeRecord(name="pvc-1", fsuuid=ID, capacity=1, deleting=True)
    info = m.VolumeInfo(record=record, node="n1", device="sda", status=m.VolumeStatus.DELETING)
    text = "\n".join(whys.of_volume(info, drive(online=False), []))

    assert "pvc-1 is Deleting, on n1/sda" in text
    assert "its data is not gone yet" in text
    assert "node n1 is offline" in text


def test_every_candidate_of_a_volume_stands_with_its_obstacles_and_changes() -> None:
    near = m.Candidate(fsuuid=ID, node="n1", device="sda", free=1 << 30, obstacles=("small",), changes=("grow it",))
    lines = whys.of_placement(
        m.CreateVolume(name="pvc-1", required=2 << 30), m.Placement(summary="no drive", candidates=(near,), more=3)
    )
    assert lines == [
        "no drive",
        "candidates, nearest first:",
        f"- n1/sda ({ID}), 1 GiB free: small",
        "  help: grow it",
        "and 3 more drives",
    ]


def claim(**facts: object) -> dict[str, object]:
    spec = {"storageClassName": "fast", "resources": {"requests": {"storage": "8Gi"}}, **facts.pop("spec", {})}  # type: ignore[dict-item]
    meta = {"name": "data-0", "namespace": "shop", "uid": "u1", "annotations": facts.pop("annotations", {})}
    return {"metadata": meta, "spec": spec, "status": {"phase": "Pending"}}


@pytest.mark.parametrize(
    ("given", "storage", "why", "asked"),
    [
        (claim(spec={"storageClassName": None}), None, "names no storage class", False),
        (claim(), None, "storage class fast, which does not exist", False),
        (claim(), {"provisioner": "ebs"}, "is not ours: class fast is provisioned by ebs", False),
        (claim(), CLASS, "no pod that uses it has been scheduled", True),
        (claim(annotations={whys.SELECTED_NODE: "n1"}), CLASS, "failed to provision", True),
        (claim(spec={"volumeName": "pvc-u1"}), CLASS, "by volume pvc-u1", False),
    ],
)
def test_a_claim_says_what_it_waits_for(
    given: dict[str, object], storage: dict[str, object] | None, why: str, asked: bool
) -> None:
    lines, name = whys.of_claim(given, storage, ["failed to provision"] * 3)

    assert why in "\n".join(lines)
    assert bool(name) is asked


def test_we_are_asked_what_the_provisioner_would_ask() -> None:
    request = whys.request_of(claim(annotations={whys.SELECTED_NODE: "n1"}), CLASS, "pvc-u1")

    assert (request.name, request.required, request.requisite) == ("pvc-u1", 8 << 30, ({names.NODE: "n1"},))
    assert request.parameters == {"a": "b", names.PVC_NAME: "data-0", names.PVC_NAMESPACE: "shop"}


def test_a_device_says_why_it_may_not_become_a_drive() -> None:
    device = m.Device(name="sda", id="x", major_minor="8:0", size=1 << 30, denied=("Mounted", "Swap"))
    assert whys.of_device("n1", device, "") == [
        "device n1/sda (1 GiB) cannot be initialised:",
        "- Mounted",
        "- Swap",
    ]
    assert ID in "\n".join(whys.of_device("n1", device, ID))


def test_a_volume_that_is_being_moved_says_how_far_that_is_and_what_it_waits_for() -> None:
    flipped = m.MoveStatus(name="v1", source="a", target="b", state=m.MoveState.FLIPPED, message="v1 is still mounted")
    waiting = m.MoveStatus(name="v1", source="a", target="b", state=m.MoveState.WAITING)

    assert whys.of_moves([flipped]) == ["it is being moved from drive a to b: Flipped", "- v1 is still mounted"]
    assert whys.of_moves([waiting])[1].startswith("- waits for its pod to be restarted")
    held = whys.of_moves([msgspec.structs.replace(flipped, node="n1", held_up=660)])[1]
    assert "cannot be removed, though it was moved, for 11m now: v1 is still mounted; end that on node n1" in held
    assert whys.of_moves([]) == []
