"""What stands where on a drive: facts of upstream v4 that existing drives rely on."""

import pytest

from directpv_nodeagent.layout.core import layout

FSUUID = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("pvc-00000000-0000-0000-0000-000000000001", 96662294),
        ("pvc-11111111-2222-3333-4444-555555555555", 3586869188),
    ],
)
def test_project_ids_are_those_that_upstream_computed(name: str, number: int) -> None:
    assert layout.project_id(name) == number


def test_a_volume_whose_id_is_taken_gets_the_next_free_one() -> None:
    own = layout.project_id("pvc-a")

    assert layout.free_project_id("pvc-a", ()) == own
    assert layout.free_project_id("pvc-a", {own, own + 1}) == own + 2


def test_ids_that_mean_no_project_are_never_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layout, "project_id", lambda name: 0xFFFFFFFF)

    assert layout.free_project_id("any", ()) == 1
    assert not layout.is_project_of("any", 0xFFFFFFFF, ())


def test_another_id_than_the_hash_is_right_only_while_the_hash_is_taken() -> None:
    own = layout.project_id("pvc-a")

    assert layout.is_project_of("pvc-a", own, {1})
    assert layout.is_project_of("pvc-a", own + 1, {own})
    assert not layout.is_project_of("pvc-a", own + 1, ())
    assert not layout.is_project_of("pvc-a", own, {own})


def test_the_data_path_goes_through_the_link_that_proves_the_mount() -> None:
    path = layout.data_path("/var/lib/directpv", FSUUID, "pvc-1")

    assert path == f"/var/lib/directpv/mnt/{FSUUID}/.FSUUID.{FSUUID}/pvc-1"


def test_meta_info_is_byte_for_byte_upstreams() -> None:
    assert layout.meta_text(FSUUID) == f"APP_NAME=directpv\nAPP_VERSION=v1beta1\nFSUUID={FSUUID}\n"


def test_meta_info_tells_its_fsuuid() -> None:
    assert layout.fsuuid_in(layout.meta_text(FSUUID)) == FSUUID
    assert layout.fsuuid_in(f"APP_NAME=directpv\nFSUUID={FSUUID.upper()}") == FSUUID


@pytest.mark.parametrize(
    "text", ["", "\0\0\0", f"FSUUID={FSUUID}\n", f"APP_NAME=other\nFSUUID={FSUUID}\n", "APP_NAME=directpv\n"]
)
def test_what_directpv_did_not_write_names_no_drive(text: str) -> None:
    assert layout.fsuuid_in(text) is None


@pytest.mark.parametrize("name", ["pvc-1", ".json", "..json", "a/b.json", "x.deleted.json", ".tmp-1.json"])
def test_only_valid_names_are_records(name: str) -> None:
    assert layout.volume_of_record(name) is None


def test_records_and_remains_name_their_volume() -> None:
    assert layout.volume_of_record("pvc-1.json") == "pvc-1"
    assert layout.volume_of_deleted("pvc-1.deleted") == "pvc-1"
    assert layout.volume_of_deleted("pvc-1") is None
    assert layout.volume_of_deleted(".deleted") is None
    assert layout.volume_of_deleted("pvc-1.deleted.deleted") is None
