"""What the probe sees of real devices."""

import fcntl
import os
import stat
import subprocess
import threading
import time
from dataclasses import replace

import pytest

from directpv_nodeagent.devices.core.device_id import device_id
from directpv_nodeagent.devices.core.rules import denials, describe
from directpv_nodeagent.devices.core.udev_data import FS_TYPE, FS_UUID
from directpv_nodeagent.devices.probe import Prober
from directpv_nodeagent.devices.sysfs import Roots, read_io_stats, requests_done
from directpv_nodeagent.devices.tables import ELSEWHERE

MIB = 1024 * 1024


def denied(facts):
    return denials(facts, registered=(), own=())


def test_a_blank_device_is_found_without_udev_and_may_be_formatted(loop, look):
    device = loop()
    facts = look(device)
    shown = describe(facts, "n1", registered=(), own=())
    assert (shown.name, shown.size, shown.denied, shown.needs_force) == (device.name, 600 * MIB, (), False)


def test_every_signature_is_read_from_the_device_itself(loop, look, left):
    kind, put = left
    device = loop()
    put(device)
    facts = look(device)
    assert kind in facts.signatures
    assert describe(facts, "n1", registered=(), own=()).needs_force


def test_several_signatures_on_one_device_are_all_read(loop, look, leave):
    device = loop()
    leave("ext4", device)
    leave("linux_raid_member", device)
    assert {"ext4", "linux_raid_member"} <= set(look(device).signatures)


def test_a_member_of_a_mirror_shows_its_content_but_is_not_taken_for_it(loop, look, leave):
    device = loop()
    leave("xfs", device)
    content = look(device).superblock
    leave("mirror", device)
    facts = look(device)
    assert (facts.superblock, facts.shadow) == (None, content)
    assert {"linux_raid_member", "xfs"} <= set(facts.signatures)


def test_the_super_block_of_an_xfs_is_read(loop, look):
    device = loop()
    fsuuid = "8f1c8c7e-0d0a-4b2c-9c3e-2f0f0e6a7b11"
    subprocess.run(["mkfs.xfs", "-q", "-K", "-m", f"uuid={fsuuid}", "-L", "DIRECTPV", device.path], check=True)
    found = look(device).superblock
    assert (found.fsuuid, found.label, found.total) == (fsuuid, "DIRECTPV", 600 * MIB)
    assert 0 < found.free < found.total


def test_a_super_block_that_changed_beneath_the_page_cache_is_seen(loop, look, leave):
    device = loop()
    leave("xfs", device)
    with open(device.path, "rb", buffering=0) as cached:
        old = cached.read(4096)
        new = old[:108] + b"NEWLABEL\0\0\0\0" + old[120:]
        with open(device.file, "r+b") as file:
            file.write(new)
        assert look(device).superblock.label == "NEWLABEL"


def test_a_mounted_device_is_seen_as_mounted(loop, look, mounted, leave):
    device = loop()
    leave("ext4", device)
    target = mounted(device.path, "-o", "ro")
    facts = look(device)
    assert facts.mount_points == (str(target),)
    assert denied(facts) == ("Mounted",)


def test_a_mount_that_no_visible_table_shows_is_known_from_the_kernel(loop, look, leave, tmp_path):
    device = loop()
    leave("xfs", device)
    target = tmp_path / "hidden"
    target.mkdir()
    script = f"mount {device.path} {target} && echo mounted && read line"
    holder = subprocess.Popen(
        ["unshare", "--mount", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "mounted\n"
        facts = look(device)
        assert facts.mount_points == (ELSEWHERE,)
        assert denied(facts) == ("Mounted",)
    finally:
        holder.communicate("\n", timeout=30)


def test_an_active_swap_area_is_seen(loop, look, leave):
    device = loop()
    leave("swap", device)
    on = subprocess.run(["swapon", device.path], capture_output=True, text=True)
    if on.returncode:
        pytest.skip(f"this machine refuses swapon: {on.stderr.strip()}")
    try:
        assert denied(look(device)) == ("Swap",)
    finally:
        subprocess.run(["swapoff", device.path], check=True)
    assert denied(look(device)) == ()


def test_a_partitioned_device_is_refused_and_its_partition_is_a_device_of_its_own(loop, leave, bare):
    device = loop()
    leave("dos", device)
    with open(device.path, "rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # udev leaves it alone: it would have the kernel read the table again
        subprocess.run(["partx", "--add", device.path], check=True)
        whole, part = Prober((device.name, f"{device.name}p*"), roots=bare).probe()
        subprocess.run(["partx", "--delete", device.path], check=True)
    assert denied(whole) == ("Partitioned",)
    assert "dos" in whole.signatures
    assert (part.name, part.size, part.make) == (f"{device.name}p1", 200 * MIB, "(Part 1)")
    assert denied(part) == ("Too small",)


def test_a_read_only_device_is_refused(loop, look):
    assert denied(look(loop(600 * MIB, "--read-only"))) == ("Read only",)


def test_a_device_below_512_mib_is_refused(loop, look):
    assert denied(look(loop(512 * MIB - 4096))) == ("Too small",)
    assert denied(look(loop(512 * MIB))) == ()


def test_only_devices_that_the_agent_may_touch_are_probed(loop, bare):
    mine, other = loop(), loop()
    prober = Prober((mine.name,), roots=bare)
    assert [facts.name for facts in prober.probe()] == [mine.name]
    assert prober.probe_one(other.name) is None


def test_loop_devices_are_left_out_unless_they_are_named(loop, bare):
    device = loop()
    assert Prober(("*",), roots=bare).probe_one(device.name) is None
    assert Prober(("loop*",), roots=bare).probe_one(device.name) is not None
    assert Prober(("*",), include_loop=True, roots=bare).probe_one(device.name) is not None


def test_a_device_that_is_gone_is_not_found(loop, bare):
    device = loop()
    number = Prober((device.name,), roots=bare).probe_one(device.name).major_minor
    device.detach()
    prober = Prober((device.name,), roots=bare)
    assert prober.probe_one(device.name) is None
    assert prober.probe_number(number) is None


@pytest.mark.parametrize("name", ["", ".", "..", "../../etc", "a\0b", "nosuch"])
def test_a_name_that_is_no_device_finds_nothing(name, bare):
    assert Prober(("*",), roots=bare).probe_one(name) is None


def test_the_same_device_has_the_same_id_at_every_probe(loop, look):
    device = loop()
    assert device_id(look(device), "n1") == device_id(look(device), "n1")


def test_without_udev_an_id_does_not_outlive_another_device_of_the_same_name(loop, bare, look):
    device = loop()
    first = look(device)
    device.detach()
    device.attach()
    second = look(device)
    assert (first.name, first.size) == (second.name, second.size)
    assert device_id(first, "n1") != device_id(second, "n1")


def test_a_device_that_hangs_is_shown_as_such_and_the_others_are_read(loop, bare):
    hung, well = loop(), loop()
    released = threading.Event()

    class Hanging(Prober):
        def read_content(self, facts, **how):
            if facts.name == hung.name:
                released.wait()
            return super().read_content(facts, **how)

    prober = Hanging((hung.name, well.name), roots=bare, within=0.5)
    found = {facts.name: facts for facts in prober.probe()}
    assert denied(found[well.name]) == ()
    assert "did not end" in found[hung.name].unreadable
    assert any("Not readable" in reason for reason in denied(found[hung.name]))
    prober.within = 3600
    again = prober.probe_one(hung.name)
    assert "not tried" in again.unreadable
    released.set()
    while prober.executors.stuck:
        released.wait(0.01)
    assert prober.probe_one(hung.name).unreadable == ""


def test_a_scan_that_cannot_wait_goes_on_without_a_slow_device_until_that_was_given_its_time(loop, bare):
    slow, well = loop(), loop()
    released = threading.Event()

    class Slow(Prober):
        def read_content(self, facts, **how):
            if facts.name == slow.name:
                released.wait()
            return super().read_content(facts, **how)

    prober = Slow((slow.name, well.name), roots=bare, within=3600)
    pending = {well.name}
    while well.name in pending:  # on a busy machine it may need more than one look
        found = {facts.name: facts for facts in prober.probe(patience=0.1)}
        pending = {name for name, facts in found.items() if facts.pending}
    assert pending == {slow.name}
    assert denied(found[slow.name]) == ("Not read yet",)
    assert denied(found[well.name]) == ()
    prober.within = 0.2
    released.wait(0.2)
    found = {facts.name: facts for facts in prober.probe(patience=0.1)}
    assert "does not answer" in found[slow.name].unreadable
    released.set()
    while prober.executors.stuck:
        released.wait(0.01)
    assert not prober.probe_one(slow.name).pending


@pytest.fixture
def uncounted(loop, bare):
    """A device whose requests the kernel does not count; who has it afterwards needs them counted."""
    device = loop()
    counting = bare.block(device.name) / "queue/iostats"
    before = counting.read_text()
    counting.write_text("0")
    yield device
    counting.write_text(before)


def test_scans_see_what_was_written_also_where_the_kernel_does_not_count_it(uncounted, bare, leave):
    device = uncounted
    prober = Prober((device.name,), roots=bare)
    (before,) = prober.probe(1.0)
    leave("xfs", device)
    (after,) = prober.probe(1.0)
    assert (before.superblock, after.superblock is not None) == (None, True)


def test_a_device_that_was_slow_when_a_scan_glanced_at_it_is_read_by_who_waits_for_it(loop, bare):
    slow = loop()
    released, first = threading.Event(), threading.Lock()

    class Slow(Prober):
        def read_content(self, facts, **how):
            if first.acquire(blocking=False):
                released.wait()
            return super().read_content(facts, **how)

    prober = Slow((slow.name,), roots=bare, within=3600)
    try:
        assert [facts.pending for facts in prober.probe(patience=0.1)] == [True]
        assert denied(prober.probe_one(slow.name)) == ()
    finally:
        released.set()


def test_an_answer_that_comes_late_is_an_answer_to_the_next_scan(loop, bare):
    slow = loop()
    asked, answered = [], threading.Event()

    class Slow(Prober):
        def read_content(self, facts, **how):
            asked.append(facts.name)
            content = super().read_content(facts, **how)
            if not answered.is_set():
                time.sleep(0.3)  # longer than any scan waits for it
            return content

    prober = Slow((slow.name,), roots=bare, within=5)
    prober._answers.unchanged = lambda facts: None  # as if it were written to all the time
    assert prober.probe(patience=0.1)[0].pending
    while prober._glances.stuck:
        answered.wait(0.01)
    (facts,) = prober.probe(patience=0.1)
    assert (facts.pending, facts.unreadable) == (False, "")
    assert len(asked) == 2, "it was asked again"
    answered.set()


def test_scans_leave_a_device_alone_that_nobody_uses_until_something_happened_to_it(loop, bare, leave):
    device = loop()
    prober, asked = Prober((device.name,), roots=bare), []
    prober.read_content = lambda facts, **how: (asked.append(1), Prober.read_content(prober, facts, **how))[1]
    assert prober.probe(patience=5)[0].signatures == ()
    done = requests_done(bare, device.name)

    assert prober.probe(patience=5)[0].signatures == ()
    assert (len(asked), requests_done(bare, device.name)) == (1, done)

    leave("ext4", device)
    assert prober.probe(patience=5)[0].signatures == ("ext4",)
    assert len(asked) == 2
    prober.probe_one(device.name)
    prober.probe()
    assert len(asked) == 4, "who decides about it reads it as it is"


def test_a_device_file_that_leads_to_another_device_is_not_read(loop, tmp_path):
    mine, other = loop(), loop()
    dev = tmp_path / "dev"
    dev.mkdir()
    os.mknod(dev / mine.name, stat.S_IFBLK | 0o600, os.stat(other.path).st_rdev)
    facts = Prober((mine.name,), roots=Roots(udev=tmp_path, dev=dev)).probe_one(mine.name)
    assert "is not block device" in facts.unreadable


def test_what_udev_knows_is_used_where_udev_runs(loop, udevd, leave):
    device = loop()
    leave("xfs", device)
    subprocess.run(["udevadm", "trigger", "--action=change", "--settle", device.path], check=True)
    facts = Prober((device.name,)).probe_one(device.name)
    assert facts.udev[FS_TYPE] == "xfs"
    assert facts.udev[FS_UUID] == facts.superblock.fsuuid
    assert any(key.startswith("I:") for key in facts.udev)


def test_what_udev_overlooked_is_read_from_the_device(loop, udevd, leave):
    device = loop()
    subprocess.run(["udevadm", "settle"], check=True)
    before = Prober((device.name,)).probe_one(device.name)
    leave("crypto_LUKS", device)
    stale = replace(Prober((device.name,)).probe_one(device.name), udev=before.udev)
    assert describe(stale, "n1", registered=(), own=()).fs_type == "crypto_LUKS"
    assert device_id(stale, "n1") != device_id(before, "n1")


def test_io_counters_grow_with_what_is_read(loop):
    device = loop()
    roots = Roots()
    before = read_io_stats(roots, device.name)
    subprocess.run(["dd", f"if={device.path}", "of=/dev/null", "bs=1M", "count=8", "iflag=direct"], check=True)
    after = read_io_stats(roots, device.name)
    assert after.read_bytes - before.read_bytes >= 8 * MIB
    assert read_io_stats(roots, "nosuch") is None
