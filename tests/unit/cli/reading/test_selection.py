"""Which objects a command means."""

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.reading import selection

ID = "11111111-2222-3333-4444-555555555555"


def drives(**flags: object) -> m.ListDrives:
    given = dict.fromkeys(("nodes", "devices", "statuses", "labels", "ids"), None) | {"everything": False} | flags
    return selection.drive_selection(**given)  # type: ignore[arg-type]


def test_without_selector_ready_drives_are_meant():
    assert drives() == m.ListDrives(statuses=(m.DriveStatus.READY,))


def test_a_command_that_changes_drives_wants_a_selector():
    with pytest.raises(ValueError, match="--all"):
        drives(required=True)


def test_a_command_for_drives_by_id_wants_at_least_one_and_takes_each_once():
    with pytest.raises(ValueError, match="at least one drive id"):
        selection.drive_ids([])
    with pytest.raises(ValueError, match="'sda' is not a drive id"):
        selection.drive_ids([ID, "sda"])

    assert selection.drive_ids([ID, ID]) == (ID,)


def volumes(**flags: object) -> m.ListVolumes:
    given = dict.fromkeys(("nodes", "devices", "drives", "statuses", "labels", "ids")) | {"everything": False} | flags
    return selection.volume_selection(**given)  # type: ignore[arg-type]


@pytest.mark.parametrize("required", [True, False])
def test_all_alone_means_every_drive_and_volume(required):
    assert drives(everything=True, required=required) == m.ListDrives()
    assert volumes(everything=True, required=required) == m.ListVolumes()


@pytest.mark.parametrize(
    "flags",
    [
        {"nodes": ["n1"]},
        {"devices": ["sda"]},
        {"statuses": ["lost"]},
        {"labels": ["rack=1"]},
        {"ids": [ID]},
        {"nodes": ["n1"], "ids": [ID]},
    ],
)
def test_all_beside_other_selectors_means_nothing_that_they_do_not(flags):
    assert drives(**flags, everything=True, required=True) == drives(**flags, required=True) != m.ListDrives()
    assert volumes(**flags, everything=True, required=True) == volumes(**flags, required=True) != m.ListVolumes()
    assert volumes(drives=[ID], everything=True) == m.ListVolumes(drives=(ID,))


def test_device_names_may_come_with_dev_and_ranges():
    assert drives(devices=["/dev/sd{a...b}"]).devices == ("sda", "sdb")


def test_a_label_key_gets_the_group_once():
    assert drives(labels=["rack=7", "directpv.min.io/tenant=x"]).labels == {
        "directpv.min.io/rack": "7",
        "directpv.min.io/tenant": "x",
    }


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        ({"ids": ["sda"]}, "sda"),
        ({"ids": [ID.upper().replace("1", "A")]}, "lower-case"),
        ({"statuses": ["sleepy"]}, "--status"),
        ({"labels": ["rack"]}, "KEY=VALUE"),
        ({"labels": ["rack=" + "x" * 64]}, "63"),
        ({"labels": ["ra ck=1"]}, "label key"),
        ({"nodes": ["n{1..2}"]}, "range"),
        ({"nodes": [""]}, "empty"),
    ],
)
def test_a_bad_flag_is_refused_and_says_what_is_wrong(flags, named):
    with pytest.raises(ValueError, match=named):
        drives(**flags)


def test_what_is_suspended_must_be_selected_and_all_states_are_meant():
    assert selection.some_drives(["n{1...2}"], ["/dev/sda"], None) == m.ListDrives(nodes=("n1", "n2"), devices=("sda",))
    assert selection.some_volumes(None, None, ["pvc-1", "pvc-1"]) == m.ListVolumes(names=("pvc-1",))
    with pytest.raises(ValueError, match="--drives") as no_drives:
        selection.some_drives(None, None, None)
    with pytest.raises(ValueError, match="--pod-names") as no_volumes:
        selection.some_volumes(None, [], None, None, [])

    assert "--all" not in f"{no_drives.value} {no_volumes.value}"


def test_pods_alone_select_volumes():
    assert selection.some_volumes(None, None, None, ["minio-0"], None) == m.ListVolumes()
