"""What disks say about their health: outputs of smartctl 7.3 for emulated disks, as they are and made worse."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directpv_nodeagent.devices.core.smart import Health, combined, parse_smartctl

OUTPUTS = Path(__file__).parent / "smartctl"
SCSI_COUNTERS = {
    kind: {"total_uncorrected_errors": errors} for kind, errors in (("read", 3), ("write", 1), ("verify", 0))
}
"""As smartctl prints them for SAS disks; the emulated one has none."""


def said(name: str) -> dict[str, Any]:
    """What smartctl said about one of the disks."""
    return dict(json.loads((OUTPUTS / f"{name}.json").read_text()))


def health(document: dict[str, Any]) -> Health:
    """The health in a document that must have one."""
    found = parse_smartctl(json.dumps(document), document["smartctl"]["exit_status"])
    assert found is not None
    return found


def attribute(document: dict[str, Any], number: int) -> dict[str, Any]:
    return next(row for row in document["ata_smart_attributes"]["table"] if row["id"] == number)


def nvme(**log: Any) -> dict[str, Any]:
    """An NVMe disk with other values in its health log."""
    document = said("nvme")
    document["nvme_smart_health_information_log"].update(log)
    return document


def statistics(page: int, offset: int, value: int, *, valid: bool = True) -> dict[str, Any]:
    """Device statistics with one entry, as smartctl prints them for disks that have them."""
    row = {"offset": offset, "name": "any", "size": 4, "value": value, "flags": {"value": 192, "valid": valid}}
    return {"pages": [{"number": page, "name": "any", "revision": 1, "table": [row]}]}


def test_an_nvme_disk_that_is_well() -> None:
    assert health(said("nvme")) == Health(
        serial="NVME1", temperature=50, media_errors=0, wear=0, power_on_hours=0, predicted=False
    )


def test_an_ata_disk_that_is_well_though_a_command_failed() -> None:
    document = said("ata")
    assert document["smartctl"]["exit_status"] == 4
    assert health(document) == Health(serial="ATA1", temperature=31, media_errors=0, power_on_hours=1, predicted=False)


@pytest.mark.parametrize("name", ["scsi", "loop", "missing"])
def test_a_device_that_says_nothing_has_no_health(name: str) -> None:
    document = said(name)
    assert parse_smartctl(json.dumps(document), document["smartctl"]["exit_status"]) is None


def test_an_nvme_disk_that_says_it_is_unreliable_is_predicted_to_fail() -> None:
    found = health(said("nvme-failing"))
    assert found.predicted is True
    assert "unreliable" in " ".join(found.reasons)


def test_a_hot_disk_is_not_one_that_fails() -> None:
    assert said("nvme-hot")["smart_status"]["passed"] is False
    assert health(said("nvme-hot")).predicted is False


@pytest.mark.parametrize("bit", [0, 2, 3, 4, 5])
def test_each_critical_warning_of_nvme_has_words_of_its_own(bit: int) -> None:
    alone, every = health(nvme(critical_warning=1 << bit)), health(nvme(critical_warning=0b111111))
    assert alone.predicted is True
    assert len(alone.reasons) == 1
    assert set(alone.reasons) < set(every.reasons)


def test_spare_blocks_are_known_only_of_disks_that_count_them() -> None:
    assert health(nvme(available_spare=0, available_spare_threshold=0)).spare is None
    assert health(nvme(available_spare=0, available_spare_threshold=10)).spare == 0
    assert health(nvme(available_spare=97, available_spare_threshold=10)).spare == 97


def test_a_disk_that_is_worn_out_is_predicted_to_fail() -> None:
    assert health(nvme(percentage_used=99)).predicted is False
    worn = health(nvme(percentage_used=104))
    assert (worn.wear, worn.predicted) == (104, True)
    assert "104 %" in worn.reasons[0]


def test_the_verdict_of_an_ata_disk_counts_even_if_only_the_exit_status_tells() -> None:
    document = said("ata")
    document["smart_status"]["passed"] = False
    assert health(document).predicted is True
    document = said("ata")
    del document["smart_status"]
    assert parse_smartctl(json.dumps(document), 0b1000).predicted is True  # type: ignore[union-attr]
    assert parse_smartctl(json.dumps(document), 0b0100).predicted is None  # type: ignore[union-attr]


def test_an_attribute_below_its_threshold_counts_if_it_warns_of_failure_now() -> None:
    document = said("ata")
    row = attribute(document, 5)
    row["when_failed"] = "past"
    assert health(document).predicted is False
    row["when_failed"] = "now"
    assert health(document).reasons == ("attribute Reallocated_Sector_Ct is below its threshold",)
    row["flags"]["prefailure"] = False
    assert health(document).predicted is False


def test_media_errors_of_an_ata_disk_are_the_best_count_that_it_has() -> None:
    document = said("ata")
    attribute(document, 5)["raw"] = {"value": 131074, "string": "2 (0 2)"}
    assert health(document).media_errors == 2
    attribute(document, 4).update(id=187, name="Reported_Uncorrect", raw={"value": 7, "string": "7"})
    assert health(document).media_errors == 7
    document["ata_device_statistics"] = statistics(4, 8, 9, valid=False)
    assert health(document).media_errors == 7
    document["ata_device_statistics"] = statistics(4, 8, 9)
    assert health(document).media_errors == 9


def test_wear_of_an_ata_disk_comes_from_its_statistics_or_an_attribute_that_counts_down() -> None:
    document = said("ata")
    attribute(document, 4).update(id=233, name="Media_Wearout_Indicator", value=88)
    assert health(document).wear == 12
    document["ata_device_statistics"] = statistics(7, 8, 15)
    assert health(document).wear == 15


def test_a_sas_disk_tells_errors_and_wear() -> None:
    document = {**said("scsi"), "scsi_error_counter_log": SCSI_COUNTERS, "scsi_percentage_used_endurance_indicator": 4}
    document |= {"temperature": {"current": 33}, "smart_status": {"passed": True}}
    assert health(document) == Health(serial="SCSI1", temperature=33, media_errors=4, wear=4, predicted=False)


def test_a_sas_disk_says_why_it_fails_and_heat_is_no_reason() -> None:
    document = said("scsi")
    document["smart_status"] = {"passed": False, "scsi": {"asc": 0x5D, "ascq": 0x10, "ie_string": "HARDWARE IMPENDING"}}
    assert health(document).reasons == ("it says that it fails: HARDWARE IMPENDING",)
    document["smart_status"]["scsi"] = {"asc": 0x0B, "ascq": 0x01, "ie_string": "WARNING: TEMPERATURE EXCEEDED"}
    assert parse_smartctl(json.dumps(document), 8).predicted is False  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "text", ["", "smartctl: command not found", "[]", "null", "3", '{"a":', "[" * 100_000, "9" * 5000]
)
def test_garbage_is_no_health(text: str) -> None:
    assert parse_smartctl(text, 0xFF) is None


@pytest.mark.parametrize("value", [-1, 2**64 - 1, 2**127, 10**400, 1.5, "7", None, True, [], {}])
def test_a_figure_that_cannot_be_true_is_unknown_and_the_others_stay(value: object) -> None:
    found = health(
        nvme(media_errors=value, percentage_used=value, available_spare=value, critical_warning=value)
        | {"power_on_time": {"hours": value}, "temperature": {"current": value if value != -1 else -273}}
    )
    assert (found.media_errors, found.wear, found.spare, found.power_on_hours, found.temperature) == (None,) * 5
    assert found.predicted is False  # smartctl's own verdict is there


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from(["nvme", "ata", "scsi"]), data=st.data(), status=st.integers(-255, 255))
def test_whatever_replaces_a_part_of_the_output_nothing_breaks(name: str, data: st.DataObject, status: int) -> None:
    document = copy.deepcopy(said(name))
    place: Any = document
    while isinstance(place, dict | list) and place:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        key: Any = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], dict | list) or data.draw(st.booleans()):
            place[key] = data.draw(JSON)
            break
        place = place[key]
    found = parse_smartctl(json.dumps(document), status)
    if found is not None:
        figures = (found.media_errors, found.wear, found.spare, found.power_on_hours)
        assert all(figure is None or 0 <= figure < 2**63 for figure in figures)
        assert bool(found.reasons) == (found.predicted is True)


def both(**differing: tuple[Any, Any]) -> Health:
    """The health of a drive over two disks."""
    first, second = ({name: pair[index] for name, pair in differing.items()} for index in (0, 1))
    found = combined({"sda": Health(serial="A", **first), "sdb": Health(serial="B", **second)})
    assert found is not None
    return found


def test_a_drive_over_two_disks_is_as_bad_as_the_worse_one() -> None:
    found = both(
        temperature=(30, 41), media_errors=(2, 3), wear=(4, None), spare=(90, 80), power_on_hours=(5, 6),
        predicted=(False, True), reasons=((), ("it is ill",)),
    )  # fmt: skip
    assert found == Health(
        temperature=41, media_errors=5, wear=4, spare=80, power_on_hours=6, predicted=True, reasons=("sdb: it is ill",)
    )


def test_two_paths_to_one_disk_count_once() -> None:
    disk = Health(serial="A", media_errors=2, predicted=False)
    assert combined({"sda": disk, "sdb": disk}) == disk


def test_disks_without_verdict_make_a_drive_without_verdict() -> None:
    assert both(temperature=(30, 31)).predicted is None
    assert both(predicted=(None, False)).predicted is False
    assert combined({}) is None
