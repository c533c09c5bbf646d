"""Bytes for people."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directpv_common.protocol.units import GIB, MIB, format_bytes, parse_bytes


@pytest.mark.parametrize(
    ("size", "text"),
    [
        pytest.param(0, "0 B", id="nothing"),
        pytest.param(1023, "1023 B", id="one below a unit"),
        pytest.param(1024, "1 KiB", id="exactly a unit"),
        pytest.param(1127428916, "1.05 GiB", id="a zero after the point is kept"),
        pytest.param(GIB + GIB // 2, "1.5 GiB", id="a zero at the end is dropped"),
        pytest.param(2**63 - 1, "7.99 EiB", id="never rounded up"),
        pytest.param(-MIB, "-1 MiB", id="negative"),
    ],
)
def test_a_size_is_written_as(size, text):
    assert format_bytes(size) == text


@pytest.mark.parametrize(
    ("text", "size"),
    [("512MiB", 512 * MIB), ("1Gi", GIB), ("1 GB", 10**9), ("1.5k", 1500), ("4096", 4096), (" 7 B ", 7)],
)
def test_a_size_is_read_from(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "MiB", "-1", "1 parsec", "1.2.3", "0x10", "1e3", "١"])
def test_what_is_no_size_is_refused_with_the_forms_that_are(text):
    with pytest.raises(ValueError, match="512MiB"):
        parse_bytes(text)


@given(st.integers(min_value=0, max_value=2**50))
def test_a_written_size_reads_back_to_within_a_hundredth_of_its_unit(size):
    back = parse_bytes(format_bytes(size))

    assert back <= size
    assert size - back <= max(1, size // 100 + 1)
