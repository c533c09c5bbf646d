"""Which sizes a volume can have, and how they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import directpv_common.protocol.messages as m
from directpv_cli.local.sizes import LARGEST, SMALLEST, volume_size
from directpv_cli.local.volumes import why_no_room
from directpv_common.protocol.units import GIB, MIB, format_bytes

FSUUID = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("64MiB", 64 * MIB),
        ("1.5GiB", 3 * GIB // 2),
        ("1.5Gi", 3 * GIB // 2),
        ("1G", 10**9),
        ("1e9", 10**9),
        ("1E", 10**18),
        ("2.5E+6", 2_500_000),
        ("1048576", MIB),
        (" 2 GiB ", 2 * GIB),
        (str(LARGEST), LARGEST),
    ],
)
def test_sizes_are_read_as_kubernetes_reads_them(text: str, size: int) -> None:
    assert volume_size(text) == size


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0", "the smallest is 1 MiB"),
        ("1", "the smallest is 1 MiB"),
        ("1e-3", "the smallest is 1 MiB"),
        ("-1", "negative"),
        ("-64MiB", "negative"),
        ("512m", "write 512M or 512Mi"),
        ("99999999999999999999", "the largest is"),
        ("9e99", "the largest is"),
        ("", "not a size"),
        ("1 0", "not a size"),
        ("big", "not a size"),
        ("٣Gi", "not a size"),
    ],
)
def test_what_no_volume_can_have_is_refused_by_the_name_of_the_flag(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=f"^--size: .*{said}"):
        volume_size(text)


@given(st.integers(SMALLEST, LARGEST))
def test_bytes_are_taken_as_they_are(size: int) -> None:
    assert volume_size(str(size)) == size


def drive(free: int) -> m.DriveInfo:
    record = m.DriveRecord(fsuuid=FSUUID, node="n1", device="sda", total=4 * GIB, overhead=0)
    return m.DriveInfo(record=record, free=free, allocated=4 * GIB - free, volumes=0)


def test_who_finds_no_room_hears_what_to_do() -> None:
    said = f"no drive can hold volume v ({format_bytes(GIB)})"
    assert "kubectl-directpv init" in why_no_room(said, GIB, [])
    assert why_no_room(said, GIB, [drive(GIB // 2)]).startswith("--size: ")
    assert "kubectl-directpv status" in why_no_room(said, GIB, [drive(2 * GIB)])
