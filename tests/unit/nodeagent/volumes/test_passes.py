"""What rsync is told and what it says."""

import pytest

from directpv_nodeagent.volumes.moving.core import passes

SHARE = b"\r         65536 100%   31.25MB/s    0:00:00 (xfr#1, to-chk=0/2)"


def test_a_limit_is_given_in_kibibytes_and_never_becomes_none() -> None:
    assert "--bwlimit=51200" in passes.arguments(50 * 1024 * 1024)
    assert "--bwlimit=1" in passes.arguments(1)
    assert not [argument for argument in passes.arguments(0) if "bwlimit" in argument]


def test_what_rsync_says_after_a_piece_of_progress_is_heard() -> None:
    output = b"\r  32768   0%    0.00kB/s    0:00:00  rsync: write failed: No space left on device (28)\n" + SHARE

    assert passes.said(output) == "rsync: write failed: No space left on device (28)"
    assert passes.progress(output, 7) == 65536
    assert passes.progress(b"nothing", 7) == 7


@pytest.mark.parametrize(
    ("status", "last", "done"), [(0, True, True), (24, False, True), (24, True, False), (23, False, False)]
)
def test_files_may_vanish_in_all_passes_but_the_last(status: int, last: bool, done: bool) -> None:
    assert passes.is_done(status, b"", last=last) is done


LOOP = b'rsync: [sender] send_files failed to open "/source/d/f": Too many levels of symbolic links (40)\n'
READ = b'rsync: [sender] read errors mapping "/source/g": Input/output error (5)\n'
END = b"rsync error: some files/attrs were not transferred (code 23) at main.c(1394) [sender=3.5.0]\n"


@pytest.mark.parametrize(
    ("output", "last", "done"),
    [(LOOP + END, False, True), (LOOP + END, True, False), (LOOP + READ + END, False, False), (END, False, False)],
)
def test_what_became_another_file_is_left_to_the_next_pass_and_what_cannot_be_read_is_not(
    output: bytes, last: bool, done: bool
) -> None:
    assert passes.is_done(23, output, last=last) is done


def test_a_failure_names_signal_or_status() -> None:
    assert "signal 9" in passes.failure(-9, b"")
    assert "status 11" in passes.failure(11, b"rsync error")


def test_a_rate_begins_anew_with_each_pass() -> None:
    rate = passes.Rate()
    assert rate.per_second == 0
    rate.note(0.0, 0)
    rate.note(2.0, 200)
    assert rate.per_second == 100
    rate.note(3.0, 10)
    assert rate.per_second == 0
