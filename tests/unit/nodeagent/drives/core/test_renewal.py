"""Which places get a drive's new mount after its file system failed."""

import pytest

from directpv_nodeagent.drives.core import renewal
from directpv_nodeagent.drives.core.renewal import Stale
from directpv_nodeagent.layout.core.places import Place
from directpv_nodeagent.linux.core.mountinfo import Mount, MountTable, parse
from directpv_nodeagent.volumes.core import decisions

DRIVE = "5 1 8:16 / /mnt/u rw,noatime - xfs /dev/sdb rw,prjquota\n"
STAGED = "6 1 8:16 /pvc-1 /staging rw,noatime - xfs /dev/sdb rw,prjquota\n"
PUBLISHED = "7 1 8:16 /pvc-1 /target ro,nosuid,noatime - xfs /dev/sdb rw,prjquota\n"
SUBPATH = "8 1 8:16 /pvc-1/a/b /subpath rw,noatime - xfs /dev/sdb rw,prjquota\n"
NEIGHBOUR = "9 1 8:32 /pvc-2 /other rw,noatime - xfs /dev/sdc rw,prjquota\n"
RENEWED = "11 6 8:32 /pvc-1 /staging rw - xfs /dev/sdc rw\n"
COVER = "10 1 0:55 / /target ro,nosuid,nodev,noexec,relatime - tmpfs directpv-cover:u:noatime+ro:/pvc-1 ro,size=4k\n"
FORMER_COVER = COVER.replace(":u:", ":")


def dead(mount: Mount) -> bool:
    return mount.device == "8:16"


def stale_mounts(table: MountTable, *names: str) -> list[Stale]:
    return renewal.stale_mounts(table, "u", names, {"8:16", "8:32"}, dead)


def places(table: MountTable, *names: str) -> list[str]:
    return [stale.path for stale in stale_mounts(table, *names)]


def test_every_place_that_shows_a_volume_dead_is_renewed_in_the_order_in_which_it_was_made() -> None:
    table = parse(DRIVE + STAGED + PUBLISHED + SUBPATH)
    assert places(table, "pvc-1") == ["/staging", "/target", "/subpath"]


def test_a_directory_of_a_volume_is_renewed_as_that_directory() -> None:
    (stale,) = stale_mounts(parse(SUBPATH), "pvc-1")
    assert stale.parts == ["pvc-1", "a", "b"]


def test_a_mount_keeps_its_own_flags() -> None:
    (stale,) = stale_mounts(parse(PUBLISHED), "pvc-1")
    assert stale.flags == {"ro", "nosuid", "noatime"}


@pytest.mark.parametrize(
    ("lines", "names"),
    [
        pytest.param(NEIGHBOUR, ["pvc-2"], id="it lives"),
        pytest.param(STAGED, ["pvc-2"], id="it is no volume of the drive"),
        pytest.param(DRIVE, ["u"], id="it is the drive itself"),
        pytest.param(
            STAGED + "11 6 8:32 /pvc-1 /staging rw - xfs /dev/sdc rw\n", ["pvc-1"], id="a living one is on top"
        ),
        pytest.param(STAGED.replace(" xfs ", " ext4 "), ["pvc-1"], id="it is no XFS"),
        pytest.param(COVER.replace(":u:", ":other:"), ["pvc-1"], id="it is the cover of another drive"),
    ],
)
def test_a_place_is_left_alone_if(lines: str, names: list[str]) -> None:
    assert places(parse(lines), *names) == []


def test_what_others_mounted_on_a_dead_place_does_not_keep_it_dead() -> None:
    table = parse(STAGED + "11 6 0:40 / /staging rw - tmpfs other rw\n")
    assert places(table, "pvc-1") == ["/staging"]
    foreign, ours = renewal.our_mount(table, "/staging", {"8:16"})
    assert [mount.source for mount in foreign] == ["other"]
    assert ours == table.mounts[0]


def test_what_a_cover_stands_for_is_read_back_from_the_mount_table() -> None:
    stale = Stale("/target", "/pvc-1/a:b", frozenset({"ro", "noatime"}), "u")
    line = f"10 1 0:55 / /target ro - tmpfs {renewal.cover_source(stale, 'u')} ro\n"
    assert stale_mounts(parse(line), "pvc-1") == [stale]


@pytest.mark.parametrize("cover", [COVER, FORMER_COVER])
def test_a_covered_place_is_renewed(cover: str) -> None:
    assert places(parse(PUBLISHED + cover), "pvc-1") == ["/target"]


def test_a_dead_mount_of_a_device_that_never_carried_the_drive_is_another_drives_whatever_its_name() -> None:
    table = parse(STAGED)
    assert renewal.stale_mounts(table, "u", ["pvc-1"], {"8:160"}, dead) == []
    assert renewal.stale_mounts(table, "u", ["pvc-1"], {"8:160", "8:16"}, dead) != []


def test_a_dead_mount_on_top_of_the_new_one_is_dead_still_wherever_the_table_has_it() -> None:
    beneath = "12 1 8:32 /pvc-1 /staging rw,noatime - xfs /dev/sdc rw,prjquota\n"
    assert places(parse(STAGED.replace("6 1", "6 12") + beneath), "pvc-1") == ["/staging"]


def test_a_cover_is_the_volumes_own_and_may_be_unmounted_with_it() -> None:
    cover = parse(COVER).at("/target")
    assert cover is not None
    assert decisions.is_mount_of(cover, "pvc-1", "")
    assert not decisions.is_mount_of(cover, "pvc-2", "")


def test_a_volume_that_is_covered_counts_as_mounted_for_its_stats() -> None:
    decisions.check_mounted(parse(COVER), Place("pvc-1", "8:16"), "/target")


def test_all_places_but_the_drives_own_are_released() -> None:
    table = parse(DRIVE + STAGED + PUBLISHED + NEIGHBOUR)
    assert [s.path for s in renewal.mounts_to_release(table, "8:16", "/mnt/u")] == ["/staging", "/target"]
