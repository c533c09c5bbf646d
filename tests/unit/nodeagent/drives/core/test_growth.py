"""How large a file system becomes on a device that grew, and what may be promised of it."""

from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from directpv_common.protocol.errors import FailedPrecondition
from directpv_common.protocol.messages import DriveRecord
from directpv_common.protocol.units import GIB, MIB, TIB
from directpv_nodeagent.drives.core.growth import (
    RETRY_SECONDS,
    Attempts,
    Geometry,
    check_fits,
    resized,
    target,
    worth_a_look,
)

BLOCK = 4096
GEOMETRY = Geometry(BLOCK, ag_blocks=38400, ag_count=4, log_blocks=16384, inode_percent=25, data_blocks=153600)
"""That of 600 MiB by mkfs.xfs 6.1."""
RECORD = DriveRecord(
    fsuuid="7f0d3a5c-0000-4000-8000-000000000001", node="n1", total=GEOMETRY.total, overhead=(153600 - 128514) * BLOCK
)


def grown(geometry: Geometry, blocks: int) -> Geometry:
    return replace(geometry, data_blocks=blocks, ag_count=-(-blocks // geometry.ag_blocks))


def blocks(size: int) -> int:
    return size // BLOCK


def test_a_device_that_grew_is_used_to_its_end() -> None:
    assert target(GEOMETRY, 1000 * MIB) == blocks(1000 * MIB)


def test_a_device_of_the_same_size_or_a_smaller_one_changes_nothing() -> None:
    for size in (GEOMETRY.total, GEOMETRY.total - BLOCK, 10 * MIB, 0):
        assert target(GEOMETRY, size) == GEOMETRY.data_blocks
        assert not worth_a_look(RECORD, size)


def test_a_gain_below_the_smallest_allocation_group_is_left_alone() -> None:
    assert target(GEOMETRY, GEOMETRY.total + 16 * MIB - BLOCK) == GEOMETRY.data_blocks
    assert target(GEOMETRY, GEOMETRY.total + 16 * MIB) == GEOMETRY.data_blocks + blocks(16 * MIB)
    assert not worth_a_look(RECORD, GEOMETRY.total + 16 * MIB - 1)


def test_the_last_allocation_group_is_filled_up_first() -> None:
    partial = grown(GEOMETRY, 153600 + blocks(20 * MIB))

    assert target(partial, partial.total + 40 * MIB) == partial.data_blocks + blocks(40 * MIB)


def test_a_rest_that_makes_no_allocation_group_is_left_over() -> None:
    two_groups = 2 * GEOMETRY.ag_blocks * BLOCK

    assert target(GEOMETRY, GEOMETRY.total + two_groups + 15 * MIB) == GEOMETRY.data_blocks + blocks(two_groups)


sizes = st.integers(0, 4 * TIB)


@given(sizes)
def test_growing_once_is_enough_and_never_shrinks(size: int) -> None:
    once = grown(GEOMETRY, target(GEOMETRY, size))

    assert once.data_blocks >= GEOMETRY.data_blocks
    assert once.total <= max(size, GEOMETRY.total)
    assert target(once, size) == once.data_blocks
    assert not worth_a_look(resized(RECORD, once), size)


@given(sizes)
def test_new_space_costs_overhead_and_most_of_it_can_be_given_to_volumes(size: int) -> None:
    after = grown(GEOMETRY, target(GEOMETRY, size))
    record = resized(RECORD, after)
    more, extra = record.total - RECORD.total, record.overhead - RECORD.overhead

    assert record.total == after.total
    assert resized(record, after) == record
    if more:
        assert more // 200 < extra
        assert extra <= more // 16 + 8192 * BLOCK // 4 + (more // (38400 * BLOCK) + 1) * 128 * 1024


def test_a_file_system_that_somebody_shrank_keeps_its_overhead_within_its_size() -> None:
    record = resized(RECORD, grown(GEOMETRY, 100_000))

    assert (record.total, record.overhead) == (100_000 * BLOCK, RECORD.overhead)
    assert resized(RECORD, grown(GEOMETRY, 1000)).overhead == 1000 * BLOCK


def test_a_record_whose_overhead_is_nonsense_does_not_promise_the_log() -> None:
    nonsense = msgspec.structs.replace(RECORD, total=1, overhead=0)

    assert resized(nonsense, GEOMETRY).overhead > GEOMETRY.log


def test_a_foreign_overhead_is_not_taken_for_the_price_of_new_space() -> None:
    half_full = msgspec.structs.replace(RECORD, overhead=RECORD.total // 2)
    after = grown(GEOMETRY, blocks(100 * GIB))

    assert resized(half_full, after).overhead < RECORD.total // 2 + 100 * GIB // 15


def test_a_device_smaller_than_its_file_system_is_refused_with_both_sizes() -> None:
    check_fits("sda", 2 * GIB, 2 * GIB)
    check_fits("sda", 2 * GIB, 0)
    with pytest.raises(FailedPrecondition, match=r"sda has 1 GiB .* less than the 2 GiB"):
        check_fits("sda", 2 * GIB, GIB)


def test_a_growth_that_fails_is_tried_at_most_every_minute_unless_the_size_changes() -> None:
    attempts = Attempts()
    assert attempts.is_due("d1", 100, 0.0)
    attempts.begin("d1", 100, 0.0)

    assert not attempts.is_due("d1", 100, RETRY_SECONDS - 0.1)
    assert attempts.is_due("d1", 100, RETRY_SECONDS)
    assert attempts.is_due("d1", 101, 0.1)
    assert attempts.is_due("d2", 100, 0.1)


def test_a_failure_is_told_once_per_size_however_often_it_is_tried() -> None:
    attempts = Attempts()
    told = []
    for size, now in ((100, 0.0), (100, 60.0), (100, 120.0), (200, 121.0), (200, 181.0)):
        attempts.begin("d1", size, now)
        told.append(attempts.failed("d1"))

    assert told == [True, False, False, True, False]
