"""Texts of the kernel, of udev and of programs, read without I/O."""

import struct
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directpv_common.protocol.errors import DriveFault
from directpv_nodeagent.devices.core.io_stats import parse_stat
from directpv_nodeagent.devices.core.superblock import parse_superblock
from directpv_nodeagent.devices.core.tables import parse_cdroms, parse_swaps
from directpv_nodeagent.devices.core.udev_data import parse_udev, udev_text
from directpv_nodeagent.devices.signatures import parse_signatures
from directpv_nodeagent.drives.core.xfs_options import mkfs_arguments, parse_version

FSUUID = "8f1c8c7e-0d0a-4b2c-9c3e-2f0f0e6a7b11"


# ---- udev -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", {}),
        ("E:A=1\n", {"E:A": "1"}),
        ("E:A= x y \n", {"E:A": "x y"}),
        ("E:A=b=c\n", {"E:A": "b=c"}),
        ("E:A=\n", {"E:A": ""}),
        ("I:123\n", {"I:123\n": ""}),
        ("S:a\nS:b\n", {"S:a\n": "", "S:b\n": ""}),
        ("E:A=1\nE:B=2", {"E:A": "1"}),
        ("\n", {"\n": ""}),
    ],
)
def test_udev_records_are_split_as_upstream_splits_them(text, keys):
    assert parse_udev(text) == keys


def test_a_line_without_equals_sign_keeps_its_newline_in_the_text_that_is_hashed():
    assert udev_text(parse_udev("I:123\nE:A=1\n")) == "E:A=1;I:123\n="


# ---- super block ------------------------------------------------------------------------------------------------


def superblock(block_size: int = 4096, blocks: int = 131072, label: bytes = b"DIRECTPV") -> bytes:
    data = bytearray(512)
    struct.pack_into(">4sIQ", data, 0, b"XFSB", block_size, blocks)
    data[32:48] = uuid.UUID(FSUUID).bytes
    data[108:120] = label.ljust(12, b"\0")
    struct.pack_into(">Q", data, 144, 100)
    return bytes(data)


def test_a_super_block_tells_uuid_label_and_sizes():
    found = parse_superblock(superblock())
    assert found is not None
    assert (found.fsuuid, found.label) == (FSUUID, "DIRECTPV")
    assert (found.total, found.free) == (512 * 1024 * 1024, 100 * 4096)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        superblock()[:511],
        b"XFSX" + superblock()[4:],
        superblock(block_size=0),
        superblock(block_size=5000),
        superblock(block_size=1 << 31),
        superblock(blocks=0),
    ],
)
def test_what_is_no_sane_super_block_is_none(data):
    assert parse_superblock(data) is None


def test_a_label_of_full_length_has_no_terminator():
    found = parse_superblock(superblock(label=b"twelve-chars"))
    assert found is not None
    assert found.label == "twelve-chars"


@given(st.binary(max_size=600))
def test_no_content_of_a_device_breaks_the_super_block_parser(data):
    parse_superblock(b"XFSB" + data)


# ---- tables of the kernel -----------------------------------------------------------------------------------------


def test_swap_areas_are_listed_with_blanks_in_their_paths():
    text = "Filename\t\t\t\tType\t\tSize\n/dev/sda2    partition\t1\n/swap\\040file file 2\n\n"
    assert parse_swaps(text) == ["/dev/sda2", "/swap file"]


def test_no_swap_table_means_no_swap():
    assert parse_swaps("") == []


def test_optical_drives_are_all_on_one_line():
    text = "CD-ROM information, Id: cdrom.c 3.20\n\ndrive name:\t\tsr1\tsr0\ndrive speed:\t\t1\t1\n"
    assert parse_cdroms(text) == {"sr0", "sr1"}


@pytest.mark.parametrize("fields", [10, 11, 15, 17])
def test_counters_are_read_from_every_kernels_stat_file(fields):
    found = parse_stat("  ".join(str(1000 + n) for n in range(1, fields + 1)) + "\n")
    assert found is not None
    assert (found.read_bytes, found.write_bytes) == (1003 * 512, 1007 * 512)
    assert (found.read_seconds, found.write_seconds) == (1.004, 1.008)
    assert (found.in_flight, found.busy_ms) == (1009, 1010)
    assert found.wait_seconds == (1.011 if fields > 10 else 0)


@pytest.mark.parametrize("text", ["", "1 2 3 4\n", "1 2 3 4 5 6 7 8 9 x\n", "1 2 3 4 5 6 7 8 9 -1\n"])
def test_a_stat_file_that_cannot_be_read_gives_no_counters(text):
    assert parse_stat(text) is None


# ---- signatures -----------------------------------------------------------------------------------------------------


def test_every_signature_is_named_once():
    said = b'{"signatures":[{"type":"gpt"},{"type":"zfs_member"},{"type":"zfs_member"},{"type":"PMBR"}]}'
    assert parse_signatures(said, "x") == ("PMBR", "gpt", "zfs_member")


@pytest.mark.parametrize("said", [b"", b"\n"])
def test_silence_means_a_blank_device(said):
    assert parse_signatures(said, "x") == ()


@pytest.mark.parametrize("said", [b"DEVICE OFFSET TYPE", b"[]", b"{}", b'{"signatures":[{}]}', b'{"signatures":null}'])
def test_an_answer_that_is_not_understood_never_counts_as_blank(said):
    with pytest.raises(DriveFault, match="/dev/x"):
        parse_signatures(said, "/dev/x")


# ---- mkfs -----------------------------------------------------------------------------------------------------------

UPSTREAM = ("-i", "maxpct=50", "-m", f"uuid={FSUUID}", "-L", "DIRECTPV")


@pytest.mark.parametrize("kernel", ["6.18.44", "6.10.0-rc1", "weird"])
def test_a_current_kernel_gets_upstreams_flags_and_no_more(kernel):
    mkfs = parse_version("mkfs.xfs version 6.1.0")
    assert mkfs_arguments(FSUUID, force=False, kernel=parse_version(kernel), mkfs=mkfs) == UPSTREAM


def test_what_the_kernel_cannot_mount_is_switched_off():
    flags = mkfs_arguments(FSUUID, force=False, kernel=(4, 18), mkfs=(6, 1))
    assert {"bigtime=0", "inobtcount=0", "nrext64=0"} <= set(flags)
    assert "reflink=0" not in flags


def test_options_that_an_old_mkfs_does_not_know_are_not_given_to_it():
    assert mkfs_arguments(FSUUID, force=False, kernel=(4, 18), mkfs=(5, 0)) == UPSTREAM


def test_force_is_one_more_flag():
    forced = mkfs_arguments(FSUUID, force=True, kernel=None, mkfs=None)
    assert set(forced) - set(UPSTREAM) == {"-f"}
