"""What a volume's PersistentVolume says is kept in the registry and on the drive, and comes back from either."""

from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_common.crd.persistent_volumes import Claim, Seen
from directpv_controller.core.taking_in.doubt import doubtful_volumes
from directpv_controller.core.taking_in.reconcile import take_in
from unit.controller.builders import committed, drive_record, held, ledger_of, place, volume_record
from unit.controller.reports import BOOT, replace, report

KEPT = m.KeptPv(storage_class="fast", reclaim_policy="Delete", access_modes=("ReadWriteOnce",))
POD = {"pod_name": "web-0", "pod_namespace": "shop", "pod_uid": "u"}


def test_it_is_kept_with_the_pod_and_the_drive_is_told() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    volume = place(ledger)
    used = replace(volume.record, **POD)
    committed(ledger.note_pod(volume, used, None, Seen(KEPT, Claim("shop", "data-0"))))

    kept = replace(used, pv=KEPT, pvc_name="data-0", pvc_namespace="shop")
    assert volume.record == kept
    assert report(ledger, held(drive, used)).prepare == [kept]
    assert report(ledger, held(drive, kept, generation=2)).prepare == []

    committed(ledger.note_pod(volume, used, None, None))
    assert volume.record == kept, "who does not know takes nothing away"


@pytest.mark.parametrize(
    "facts",
    [
        {"pv": replace(KEPT, reclaim_policy="Retain")},
        {"pvc_name": "other"},
        {"pvc_namespace": "other"},
        {"parameters": {"a": "b"}},
    ],
)
def test_a_drive_that_remembers_anything_else_is_told(facts: dict[str, Any]) -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    kept = volume_record("v1", drive, pv=KEPT, pvc_name="data-0", pvc_namespace="shop")
    committed(ledger.adopt(ledger.drives[drive.fsuuid], kept))
    assert report(ledger, held(drive, replace(kept, **facts))).prepare == [kept]


def test_a_registry_that_was_lost_has_it_again_from_the_drive() -> None:
    drive = drive_record()
    kept = volume_record("v1", drive, pv=KEPT, pvc_name="data-0", pvc_namespace="shop", **POD)
    empty, older = ledger_of(), ledger_of(drive)
    report(empty, held(drive, kept))
    assert empty.volumes["v1"].record == kept

    committed(older.adopt(older.drives[drive.fsuuid], volume_record("v1", drive, **POD)))
    outcome = report(older, held(drive, kept))
    assert (older.volumes["v1"].record, outcome.prepare) == (kept, [])


def test_what_nothing_is_kept_of_though_a_pod_used_it_is_told_and_nothing_else() -> None:
    drive = drive_record()
    ledger = ledger_of(drive)
    volumes = [
        volume_record("used", drive, **POD),
        volume_record("idle", drive),
        volume_record("kept", drive, pv=KEPT, **POD),
    ]
    report(ledger, held(drive, *volumes))
    outcome = take_in(ledger, "n1", BOOT, held(drive, *volumes), read_pods=True)
    assert [record.name for record in outcome.unkept] == ["used"]


def test_a_node_that_tells_too_much_of_it_is_not_believed() -> None:
    drive = drive_record()
    wordy = volume_record("wordy", drive, pv=replace(KEPT, mount_options=("x",) * 33))
    long = volume_record("long", drive, pv=replace(KEPT, storage_class="x" * 5_000))
    assert doubtful_volumes(held(drive, wordy, long, volume_record("v1", drive, pv=KEPT))).keys() == {"wordy", "long"}
