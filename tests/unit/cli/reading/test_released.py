"""Which volumes nobody has any more."""

from datetime import UTC, datetime
from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.reading.released import held, why_kept, why_refused

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
OLD, YOUNG = "2026-11-22T10:00:00Z", "2026-11-22T11:55:00Z"
FSUUID = "7f0d3a5c-0000-4000-8000-000000000001"


NO_USE = m.VolumeUse()


def volume(use: m.VolumeUse = NO_USE, **record: Any) -> m.VolumeInfo:
    fields = {"name": "pvc-1", "fsuuid": FSUUID, "capacity": 1, "created": OLD} | record
    return m.VolumeInfo(record=m.VolumeRecord(**fields), node="n1", use=use)


def pv(phase: str, name: str = "pvc-1", handle: str = "pvc-1", driver: str = "directpv-min-io") -> dict[str, Any]:
    spec = {"csi": {"driver": driver, "volumeHandle": handle}}
    return {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}}


def why(volume: m.VolumeInfo, *items: dict[str, Any]) -> str:
    return why_kept(volume, held(items, "directpv-min-io"), NOW)


@pytest.mark.parametrize("phase", ["Released", "Failed"])
def test_a_volume_whose_claim_has_left_it_goes(phase: str) -> None:
    assert why(volume(), pv(phase)) == ""
    assert why(volume(created=YOUNG), pv(phase)) == ""


@pytest.mark.parametrize("phase", ["Bound", "Available", "Pending", "", "Another"])
def test_a_volume_that_somebody_has_or_may_have_is_kept(phase: str) -> None:
    assert "PersistentVolume pvc-1 is" in why(volume(), pv(phase))


def test_a_volume_is_recognised_by_its_handle_whatever_its_persistent_volume_is_called() -> None:
    assert "PersistentVolume by-hand is Bound" in why(volume(), pv("Released"), pv("Bound", name="by-hand"))
    assert why(volume(), pv("Bound", name="other", handle="other")) == ""
    assert why(volume(), pv("Bound", name="elsewhere", driver="another.csi")) == ""


def test_a_persistent_volume_of_its_name_keeps_it_whatever_the_driver() -> None:
    assert "is Bound" in why(volume(), pv("Bound", handle="x", driver="former.driver"))


def test_a_volume_without_persistent_volume_goes_unless_that_may_just_be_being_made() -> None:
    assert why(volume()) == ""
    assert why(volume(created="")) == ""
    assert "may just be being made" in why(volume(created=YOUNG))


def test_what_is_mounted_is_kept_whatever_kubernetes_says() -> None:
    assert "mounted on node n1" in why(volume(m.VolumeUse(staged="/s")), pv("Released"))
    assert "mounted on node n1" in why(volume(m.VolumeUse(published=("/t",))))


def test_without_a_cluster_a_volume_that_was_named_goes_unless_it_was_made_for_a_claim() -> None:
    assert why_kept(volume(created=YOUNG), None, NOW) == ""
    assert "claim shop/data-0" in why_kept(volume(pvc_name="data-0", pvc_namespace="shop"), None, NOW)
    assert "mounted" in why_kept(volume(m.VolumeUse(staged="/s")), None, NOW)


def test_where_all_persistent_volumes_are_gone_a_selection_deletes_nothing() -> None:
    remembered = [volume(name=name, pv=m.KeptPv(storage_class="fast")) for name in ("pvc-1", "pvc-2")]
    for items in ([], [pv("Bound", name="pvc-9", handle="pvc-9")]):
        assert "all 2 volumes" in why_refused([*remembered, volume(name="old")], held(items, "directpv-min-io"))
    assert why_refused(remembered, held([pv("Released")], "directpv-min-io")) == ""
    assert why_refused([volume(), volume(name="pvc-2")], {}) == "", "of former versions nothing is known"
    assert why_refused([], {}) == ""
