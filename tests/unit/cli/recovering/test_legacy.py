"""What is left of DirectCSI: what v4 has migrated is told from what it has not, whichever version wrote the object."""

from typing import Any

import pytest

from directpv_cli.recovering.core.legacy import Left, found, versions_of

ID = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"


def left(**facts: Any) -> Left:
    none = {"drives": [], "volumes": [], "pvs": [], "known_drives": frozenset(), "known_volumes": frozenset()}
    return Left(**{**none, "served": False, **facts})


def named(name: str, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, **fields}


@pytest.mark.parametrize(
    "status", [{"filesystemUUID": ID}, {"ueventFSUUID": ID.upper()}, {"conditions": [{"text": "x", "id": ID}]}]
)
def test_a_drive_is_migrated_if_a_drive_of_v4_has_the_id_of_its_file_system(status: dict[str, Any]) -> None:
    drive = named("d1", status=status)
    assert [each.state for each in found(left(drives=[drive]))] == ["NotMigrated"]
    assert [each.state for each in found(left(drives=[drive], known_drives=frozenset({ID})))] == ["Migrated"]


def test_a_drive_that_says_nothing_of_itself_is_not_migrated() -> None:
    assert [each.state for each in found(left(drives=[named("d1")], known_drives=frozenset({ID})))] == ["NotMigrated"]


def test_a_volume_is_migrated_if_there_is_one_of_its_name() -> None:
    volumes = [named("pvc-a"), named("pvc-b")]
    states = [(each.name, each.state) for each in found(left(volumes=volumes, known_volumes=frozenset({"pvc-a"})))]
    assert states == [("pvc-a", "Migrated"), ("pvc-b", "NotMigrated")]


def test_persistent_volumes_of_the_former_driver_are_served_by_v4_alone_and_others_are_not_meant() -> None:
    pvs = [
        named("pvc-a", spec={"csi": {"driver": "direct-csi-min-io"}}),
        named("pvc-b", spec={"csi": {"driver": "directpv-min-io"}}),
        named("pvc-c", spec={"hostPath": {}}),
    ]
    (served,) = found(left(pvs=pvs, served=True))
    (alone,) = found(left(pvs=pvs))
    assert (served.name, served.state, alone.state) == ("pvc-a", "Served", "NotServed")
    assert "must stay" in served.detail
    assert "pods that use it do not start" in alone.detail


def test_the_version_that_is_stored_is_read_and_one_that_is_not_served_never() -> None:
    versions = [
        {"name": "v1beta3", "served": True, "storage": False},
        {"name": "v1beta4", "served": False, "storage": False},
        {"name": "v1beta5", "served": True, "storage": True},
    ]
    assert versions_of({"spec": {"versions": versions}}) == ["v1beta5", "v1beta3"]
    assert versions_of({}) == []
