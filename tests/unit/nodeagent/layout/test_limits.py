"""How many bytes and inodes a volume's project gets, and that promised bytes exist whatever volumes hold."""

from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directpv_common.protocol import inodes
from directpv_common.protocol.errors import InvalidRequest
from directpv_common.protocol.messages import VolumeRecord
from directpv_common.protocol.names import BYTES_PER_INODE
from directpv_nodeagent.layout.core import limits
from directpv_nodeagent.linux.core.quota import Usage

FSUUID = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
MIB = 2**20
NEW = Usage(0, 0, 1)
LEGAL = st.integers(inodes.LEAST, inodes.MOST)


def volume(capacity: int, per: object = None) -> VolumeRecord:
    parameters = {} if per is None else {BYTES_PER_INODE: str(per)}
    return VolumeRecord(name="v", fsuuid=FSUUID, capacity=capacity, parameters=parameters)


@given(st.lists(st.tuples(st.integers(MIB, 2**44), st.none() | LEGAL), max_size=50))
def test_bytes_and_inodes_of_all_volumes_together_fit_into_what_the_drive_promises_and_sets_aside(
    volumes: list[tuple[int, int | None]],
) -> None:
    promised = sum(capacity for capacity, _ in volumes)
    given_out = [limits.wanted(volume(*one), NEW) for one in volumes]

    taken = sum(limit.size + limit.inodes * inodes.INODE for limit in given_out)

    least = next(free for free in count(promised * 33 // 32 - 2) if free - inodes.set_aside(free) >= promised)
    assert taken <= least


@given(st.integers(1, 2**44), st.none() | LEGAL)
def test_every_volume_has_bytes_and_inodes(capacity: int, per: int | None) -> None:
    found = limits.wanted(volume(capacity, per), NEW)

    assert 0 < found.size <= capacity
    assert found.inodes > 0


def test_a_class_that_asks_for_fewer_inodes_takes_nothing_from_the_size_and_one_that_asks_for_more_does() -> None:
    usual, few, many = (limits.wanted(volume(1024 * MIB, per), NEW) for per in (None, 2 * inodes.DEFAULT, 4096))

    assert few.size == usual.size == 1024 * MIB
    assert few.inodes < usual.inodes < many.inodes
    assert many.size < usual.size


@given(st.integers(MIB, 2**40), st.integers(0, 2**40), st.integers(0, 2**30), st.integers(0, 2**30), st.none() | LEGAL)
def test_no_limit_is_lower_than_it_was_nor_than_what_is_in_use(
    capacity: int, used: int, files: int, before: int, per: int | None
) -> None:
    found = limits.wanted(volume(capacity, per), Usage(capacity, used, files, before))

    assert found.inodes >= max(before, files)


def test_a_volume_that_was_filled_before_there_was_a_limit_can_be_filled_as_it_has_been_and_grow() -> None:
    small_files = Usage(1024 * MIB, 100 * MIB, 40_000)  # a tenth full, of files of 2,6 KiB

    found = limits.wanted(volume(1024 * MIB), small_files)
    grown = limits.wanted(volume(2048 * MIB), Usage(1024 * MIB, 100 * MIB, 40_000, found.inodes))

    assert found.inodes >= 400_000
    assert grown.inodes >= 800_000


def test_a_limit_that_is_in_force_is_asked_for_again() -> None:
    record = volume(20 * MIB)
    found = limits.wanted(record, NEW)

    assert limits.wanted(record, Usage(found.size, 5 * MIB, 1000, found.inodes)) == found


@pytest.mark.parametrize("value", ["", "0", "-1", "1023", "67108865", "16KiB", "1e6", "٤٠٩٦", "9" * 5000])
def test_bytes_per_inode_that_are_not_possible_are_refused_and_the_parameter_named(value: str) -> None:
    with pytest.raises(InvalidRequest, match=r"bytes-per-inode.*write a number of bytes from"):
        inodes.bytes_per_inode({BYTES_PER_INODE: value})

    assert limits.wanted(volume(20 * MIB, value), NEW) == limits.wanted(volume(20 * MIB), NEW)
