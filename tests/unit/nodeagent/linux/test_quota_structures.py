"""XFS quota structures byte by byte: linux/dqblk_xfs.h, linux/fs.h."""

import struct

import pytest

from directpv_nodeagent.linux.core import quota
from directpv_nodeagent.linux.core.quota import FileAttributes, Limits

GIB = 2**30


def test_a_limit_has_every_field_at_its_offset() -> None:
    packed = bytes(quota.pack_limits(3586869188, Limits(1025, 77)))

    assert len(packed) == 112
    assert packed[0] == 1  # version
    assert packed[1] == 2  # project
    assert struct.unpack_from("=H", packed, 2) == (0b1111,)  # soft and hard limits of inodes and blocks, nothing else
    assert struct.unpack_from("=I", packed, 4) == (3586869188,)
    assert struct.unpack_from("=QQ", packed, 8) == (3, 3)  # 512-byte blocks, rounded up, hard and soft
    assert struct.unpack_from("=QQ", packed, 24) == (77, 77)  # inodes, hard and soft
    assert set(packed[40:]) == {0}  # no timers


@pytest.mark.parametrize(("size", "blocks"), [(1, 1), (512, 1), (513, 2), (GIB, GIB // 512), (2**63 - 1, 2**54)])
def test_limits_are_rounded_up_to_blocks(size: int, blocks: int) -> None:
    assert struct.unpack_from("=Q", quota.pack_limits(1, Limits(size, 1)), 8) == (blocks,)


def test_use_is_read_from_the_offsets_where_the_kernel_writes_it() -> None:
    answer = bytearray(112)
    struct.pack_into("=Q", answer, 8, 2048)  # hard limit
    struct.pack_into("=Q", answer, 16, 1)  # soft limit
    struct.pack_into("=Q", answer, 24, 9)  # hard limit of inodes
    struct.pack_into("=QQ", answer, 40, 7, 3)  # blocks, inodes

    assert quota.unpack_usage(answer) == (2048 * 512, 7 * 512, 3, 9)


def test_commands_are_those_of_project_quota() -> None:
    assert (quota.Q_XGETQUOTA, quota.Q_XSETQLIM) == (0x580302, 0x580402)


def test_putting_a_directory_in_a_project_keeps_its_other_attributes() -> None:
    found = quota.unpack_attributes(struct.pack("=IIIII8x", 0x8000_0040, 16, 3, 0, 9))

    changed = quota.pack_attributes(found.in_project(77))

    assert struct.unpack("=IIIII8x", changed) == (0x8000_0240, 16, 3, 77, 9)
    assert len(changed) == 28


@pytest.mark.parametrize(("flags", "project"), [(0, 5), (quota.PROJECT_INHERIT, 0), (quota.PROJECT_INHERIT, 6)])
def test_a_directory_without_the_right_id_and_inheritance_does_not_belong(flags: int, project: int) -> None:
    assert not FileAttributes(flags, 0, 0, project, 0).belongs_to(5)


def test_a_directory_with_both_belongs() -> None:
    assert FileAttributes(quota.PROJECT_INHERIT | 1, 0, 0, 5, 0).belongs_to(5)
