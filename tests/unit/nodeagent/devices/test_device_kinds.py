"""Which kinds of devices are offered, what udev says of one, and where samples are taken."""

import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from directpv_common.protocol.units import MIB, TIB
from directpv_nodeagent.devices.core.kinds import KINDS, unsuited
from directpv_nodeagent.devices.core.samples import BLOCK, ENDS, backup_offsets, sample_offsets
from directpv_nodeagent.devices.core.udev_data import not_ready, parse_udev


@pytest.mark.parametrize("prefix", sorted(KINDS))
def test_what_is_no_disk_of_this_machine_is_offered_only_to_whoever_names_its_kind(prefix: str) -> None:
    assert f"--devices={prefix}*" in unsuited(f"{prefix}0", ("*",))
    assert unsuited(f"{prefix}12p1", ("sd*", "*0")) != ""
    assert unsuited(f"{prefix}0", ("sd*", f"{prefix}*")) == ""
    assert unsuited(f"{prefix}0", (f"{prefix}0",)) == ""


@pytest.mark.parametrize("name", ["sda", "nvme0n1", "vdb1", "dm-3", "md127", "loop7", "cciss/c0d0", "mmcblk0", "pmem0"])
def test_disks_are_offered(name: str) -> None:
    assert unsuited(name, ("*",)) == ""


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ("I:1\nE:DM_MULTIPATH_DEVICE_PATH=1", "path of a multipath disk"),
        ("I:1\nE:ID_FS_TYPE=mpath_member", "path of a multipath disk"),
        ("I:1\nE:SYSTEMD_READY=0", "not ready"),
        ("E:ID_FS_TYPE=xfs", "has not finished"),
    ],
)
def test_what_udev_says_of_a_device_that_is_not_to_be_used_is_heeded(lines: str, says: str) -> None:
    assert says in not_ready(parse_udev(f"{lines}\n"))


def test_a_disk_that_udev_has_finished_with_is_ready() -> None:
    record = "I:1469674815\nE:DM_MULTIPATH_DEVICE_PATH=0\nE:SYSTEMD_READY=1\nE:ID_FS_TYPE=xfs\n"
    assert not_ready(parse_udev(record)) == ""


@given(st.integers(512 * MIB, 40 * TIB))
@example(TIB - 3584)
def test_samples_lie_within_the_device_and_leave_no_large_stretch_unseen(size: int) -> None:
    size -= size % 512
    offsets = sample_offsets(size)
    assert all(offset % BLOCK == 0 and offset + BLOCK <= size for offset in (*offsets, *backup_offsets(size)))
    places = [ENDS, *offsets, size - ENDS]
    assert max(after - before for before, after in itertools.pairwise(places)) <= size // 60
