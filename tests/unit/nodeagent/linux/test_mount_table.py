"""The mount table: proc_pid_mountinfo(5)."""

import pytest

from directpv_nodeagent.linux.core.mountinfo import escape, may_have_twins, parse, unescape

LINES = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 8:16 / /var/lib/directpv/mnt/u rw,noatime shared:7 - xfs /dev/sdb rw,attr2,prjquota
31 22 8:16 /pvc-1 /pods/a\040b/mount ro,noatime shared:7 master:2 - xfs /dev/sdb rw,prjquota
32 22 8:16 /pvc-1/sub /pods/sub rw - xfs /dev/sdb rw,prjquota
33 22 8:16 /pvc-10 /pods/ten rw - xfs /dev/sdb rw,prjquota
34 22 0:40 / /pods/a\040b/mount rw - tmpfs none rw
"""


def test_optional_fields_do_not_shift_the_file_system() -> None:
    mount = parse(LINES).at("/var/lib/directpv/mnt/u")

    assert mount is not None
    assert (mount.fs_type, mount.source, mount.super_options) == ("xfs", "/dev/sdb", "rw,attr2,prjquota")


def test_octal_escapes_stand_for_their_characters() -> None:
    table = parse("5 1 8:1 /a\\134b /x\\011y\\012z rw - xfs /dev/s\\040d rw\n")

    (mount,) = table.mounts
    assert (mount.root, mount.path, mount.source) == ("/a\\b", "/x\ty\nz", "/dev/s d")


def test_the_mount_on_top_is_the_one_that_counts_at_a_path() -> None:
    mount = parse(LINES).at("/pods/a b/mount")

    assert mount is not None
    assert mount.fs_type == "tmpfs"


def test_a_volume_is_shown_by_mounts_of_it_and_of_its_parts_but_not_of_volumes_with_longer_names() -> None:
    paths = [mount.path for mount in parse(LINES).showing("8:16", "/pvc-1")]

    assert paths == ["/pods/a b/mount", "/pods/sub"]


def test_a_read_only_mount_is_told_from_a_read_only_file_system() -> None:
    table = parse("5 1 8:1 / /a ro,noatime - xfs /dev/sda rw\n6 1 8:2 / /b rw - xfs /dev/sdb ro\n")

    assert [mount.read_only for mount in table.mounts] == [True, False]


def test_a_mount_that_was_attached_beneath_another_is_not_on_top_though_it_comes_later() -> None:
    table = parse("5 7 8:1 / /a rw - xfs old rw\n6 1 8:2 / /b rw - xfs s rw\n7 1 8:3 / /a rw - xfs new rw\n")
    top = table.at("/a")

    assert top is not None
    assert top.source == "old"
    below = table.beneath(top)
    assert below is not None
    assert below.source == "new"
    assert table.beneath(below) is None


def test_a_mount_that_is_its_own_parent_is_on_top() -> None:
    assert parse("1 1 0:2 / / rw - rootfs rootfs rw\n").at("/") is not None


def test_a_line_of_two_tables_counts_once() -> None:
    assert len(parse(LINES, LINES).mounts) == len(parse(LINES).mounts)


def test_malformed_lines_are_left_out() -> None:
    assert parse("garbage\n1 2 3\n7 x 8:1 / /a rw - xfs /dev/a rw\n8 1 8:1 / /a rw - xfs\n").mounts == ()


def test_mounts_below_a_path_exclude_the_path_and_its_namesakes() -> None:
    table = parse("5 1 8:1 / /a rw - xfs s rw\n6 1 8:1 / /a/b rw - xfs s rw\n7 1 8:1 / /ab rw - xfs s rw\n")

    assert [mount.path for mount in table.below("/a")] == ["/a/b"]


def test_what_is_not_asked_about_is_left_out_and_what_is_asked_about_is_found_in_its_escaped_form() -> None:
    table = parse(LINES, about=("/pods/a b/mount", "254:0"))

    assert [mount.path for mount in table.mounts] == ["/", "/pods/a b/mount", "/pods/a b/mount"]


def test_characters_that_only_unicode_takes_for_line_ends_are_part_of_a_path() -> None:
    path = "/a\x85b\x0cc\u2028d"

    mount = parse(f"5 1 8:1 / {path} rw - xfs s rw\n", about=(path,)).at(path)

    assert mount is not None


@pytest.mark.parametrize("path", ["/a b", "/tab\t", "/line\n", "/back\\slash", "/hash#", "/040"])
def test_a_path_is_the_same_after_escaping_and_back(path: str) -> None:
    assert unescape(escape(path)) == path


SHARED = r"""22 1 254:0 / / rw - ext4 /dev/vda rw
30 22 8:1 / /data rw shared:5 - ext4 /dev/sda1 rw
31 22 8:1 /directpv /var/lib/directpv rw shared:5 - ext4 /dev/sda1 rw
32 22 8:1 /directpv /slave rw shared:6 master:5 - ext4 /dev/sda1 rw
33 22 8:1 / /last rw master:6 - ext4 /dev/sda1 rw
34 22 8:1 /directpv /private rw - ext4 /dev/sda1 rw
40 31 8:16 / /var/lib/directpv/mnt/u rw - xfs /dev/sdb rw
41 30 8:16 / /data/directpv/mnt/u rw shared:7 - xfs /dev/sdb rw
42 32 8:16 / /slave/mnt/u rw master:7 - xfs /dev/sdb rw
43 33 8:16 / /last/directpv/mnt/u rw master:7 - xfs /dev/sdb rw
44 34 8:16 / /private/mnt/u rw shared:7 - xfs /dev/sdb rw
45 30 8:16 / /data/elsewhere rw shared:7 - xfs /dev/sdb rw
46 30 8:16 /pvc-1 /data/directpv/mnt/u rw shared:7 - xfs /dev/sdb rw
"""


def test_a_mount_goes_with_another_if_it_came_by_propagation_of_the_place_and_not_for_being_its_peer() -> None:
    table = parse(SHARED)

    stay = [mount.id for mount in table.elsewhere("8:16", "/var/lib/directpv/mnt/u")]

    assert stay == [44, 45, 46]


def test_a_mount_does_not_go_with_one_in_a_place_that_hands_nothing_on_to_it() -> None:
    table = parse(SHARED)

    assert [mount.id for mount in table.elsewhere("8:16", "/slave/mnt/u")] == [40, 41, 44, 45, 46]
    assert [mount.id for mount in table.elsewhere("8:16", "/private/mnt/u")] == [40, 41, 42, 43, 45, 46]


def test_of_mounts_that_go_together_the_first_stands_for_all() -> None:
    table = parse(SHARED)

    assert [mount.id for mount in table.firsts(table.of("8:16"))] == [40, 44, 45, 46]


def test_what_goes_together_can_be_told_of_a_part_of_the_table_if_it_has_what_that_lies_on() -> None:
    part = parse(SHARED, about=("8:16",), parents=True)

    assert {mount.id for mount in part.mounts} == {30, 31, 32, 33, 34, 40, 41, 42, 43, 44, 45, 46}
    assert [mount.id for mount in part.firsts(part.of("8:16"))] == [40, 44, 45, 46]


def test_mounts_can_be_twins_only_if_they_show_the_same_at_places_of_one_name() -> None:
    one = "40 31 8:16 /pvc-1 /kubelet/globalmount rw - xfs /dev/sdb rw\n"

    assert may_have_twins(one + "41 30 8:16 /pvc-1 /data/globalmount rw shared:7 - xfs /dev/sdb rw\n")
    assert not may_have_twins(one + "41 30 8:16 /pvc-1 /kubelet/mount rw shared:7 - xfs /dev/sdb rw\n")
    assert not may_have_twins(one + "41 30 8:16 /pvc-2 /data/globalmount rw shared:7 - xfs /dev/sdb rw\n")
    assert not may_have_twins(one + "41 30 8:32 /pvc-1 /data/globalmount rw shared:7 - xfs /dev/sdb rw\n")
    assert not may_have_twins("malformed\nmalformed\n")
