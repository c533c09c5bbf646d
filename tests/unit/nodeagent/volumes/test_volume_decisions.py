"""Stage, publish and expand, decided from the mount table: CSI 1.12 NodeStageVolume to NodeExpandVolume."""

import pytest

from directpv_common.protocol.errors import Conflict, FailedPrecondition, InvalidRequest, NotFound, OutOfRange
from directpv_common.protocol.messages import VolumeUse
from directpv_nodeagent.layout.core.places import Place, mounted_at, use_of, use_with, use_without
from directpv_nodeagent.linux.core.mountinfo import MOUNT_FLAGS, MountTable, parse
from directpv_nodeagent.volumes.core import decisions

PLACE = Place("pvc-1", "8:16")
NONE: frozenset[str] = frozenset()
READ_ONLY = frozenset({"ro"})
KUBELET = "/var/lib/kubelet/plugins/kubernetes.io/csi/directpv-min-io/abc/globalmount"


def table(*entries: str) -> MountTable:
    """Each entry: ``device root path options``."""
    lines = []
    for number, entry in enumerate(entries, start=10):
        device, root, path, options = entry.split(" ")
        lines.append(f"{number} 1 {device} {root} {path} {options} - xfs /dev/sdb rw")
    return parse("\n".join(lines))


STAGED = "8:16 /pvc-1 /s rw,noatime"


class TestStage:
    def test_a_volume_that_is_not_mounted_must_be(self) -> None:
        assert decisions.must_stage(table(), PLACE, "/s", NONE)

    def test_a_staged_volume_is_left_as_it_is(self) -> None:
        assert not decisions.must_stage(table(STAGED), PLACE, "/s", NONE)

    def test_flags_that_the_drive_itself_has_make_no_difference(self) -> None:
        mounts = table("8:16 /pvc-1 /s rw,nosuid,noatime")

        assert not decisions.must_stage(mounts, PLACE, "/s", NONE, frozenset({"rw", "nosuid"}))

    @pytest.mark.parametrize(
        "entry",
        [
            pytest.param("8:16 /pvc-2 /s rw", id="another volume"),
            pytest.param("8:32 /pvc-1 /s rw", id="another drive"),
            pytest.param("8:16 /pvc-1/sub /s rw", id="a part of it"),
            pytest.param("8:16 / /s rw", id="the whole drive"),
        ],
    )
    def test_something_else_at_the_path_is_refused(self, entry: str) -> None:
        with pytest.raises(FailedPrecondition, match="/s already"):
            decisions.must_stage(table(entry), PLACE, "/s", NONE)

    def test_other_flags_are_a_conflict(self) -> None:
        with pytest.raises(Conflict):
            decisions.must_stage(table(STAGED), PLACE, "/s", READ_ONLY)


def publish(mounts: MountTable, target: str = "/t", flags: frozenset[str] = NONE, *, single: bool = False) -> bool:
    return decisions.must_publish(mounts, PLACE, "/s", target, flags, single_writer=single)


class TestPublish:
    def test_a_staged_volume_is_mounted_at_the_target(self) -> None:
        assert publish(table(STAGED))

    @pytest.mark.parametrize("entries", [(), ("8:16 /pvc-2 /s rw",), ("8:32 /pvc-1 /s rw",), (STAGED, "0:40 / /s rw")])
    def test_a_volume_that_is_not_staged_there_is_refused(self, entries: tuple[str, ...]) -> None:
        with pytest.raises(FailedPrecondition, match="NodeStageVolume"):
            publish(table(*entries))

    def test_a_repeat_finds_it_done(self) -> None:
        assert not publish(table(STAGED, "8:16 /pvc-1 /t rw"))
        assert not publish(table(STAGED, "8:16 /pvc-1 /t ro"), flags=READ_ONLY)

    def test_a_repeat_with_another_access_is_a_conflict(self) -> None:
        with pytest.raises(Conflict):
            publish(table(STAGED, "8:16 /pvc-1 /t rw"), flags=READ_ONLY)
        with pytest.raises(Conflict):
            publish(table(STAGED, "8:16 /pvc-1 /t ro"))

    def test_what_a_pod_mounted_on_its_volume_does_not_matter_to_a_repeat(self) -> None:
        mounts = parse(
            "10 1 8:16 /pvc-1 /s rw - xfs /dev/sdb rw\n11 1 8:16 /pvc-1 /t rw - xfs /dev/sdb rw\n"
            "12 11 0:40 / /t rw - tmpfs theirs rw\n"
        )

        assert not publish(mounts)

    def test_what_is_staged_read_only_can_only_be_published_so(self) -> None:
        assert not publish(table("8:16 /pvc-1 /s ro", "8:16 /pvc-1 /t ro"))

    def test_an_occupied_target_is_refused(self) -> None:
        with pytest.raises(FailedPrecondition, match="target_path"):
            publish(table(STAGED, "8:16 /pvc-2 /t rw"))

    def test_several_pods_may_use_a_volume(self) -> None:
        assert publish(table(STAGED, "8:16 /pvc-1 /other rw"))

    def test_a_single_writer_may_not_have_a_second_target(self) -> None:
        with pytest.raises(FailedPrecondition, match="/other"):
            publish(table(STAGED, "8:16 /pvc-1 /other rw"), single=True)
        assert publish(table(STAGED), single=True)
        assert not publish(table(STAGED, "8:16 /pvc-1 /t rw"), single=True)


class TestUse:
    def test_the_known_staging_path_is_told_from_targets(self) -> None:
        mounts = table("8:16 /pvc-1 /a rw", "8:16 /pvc-1 /s rw", "8:16 /pvc-1 /b rw")

        use = use_of(mounts, PLACE, "/s")

        assert (use.staged, use.published) == ("/s", ("/a", "/b"))

    def test_without_memory_the_path_that_kubelet_calls_so_is_the_staging_path(self) -> None:
        use = use_of(table("8:16 /pvc-1 /t rw", f"8:16 /pvc-1 {KUBELET} rw"), PLACE)

        assert (use.staged, use.published) == (KUBELET, ("/t",))

    def test_without_memory_and_name_the_first_mount_is_the_staging_path(self) -> None:
        use = use_of(table(STAGED, "8:16 /pvc-1 /a rw"), PLACE, "/gone")

        assert (use.staged, use.published) == ("/s", ("/a",))

    @pytest.mark.parametrize(
        ("before", "path", "staging", "after"),
        [
            (VolumeUse(), "/s", "/s", VolumeUse(staged="/s")),
            (VolumeUse(staged="/s"), "/s", "/s", VolumeUse(staged="/s")),
            (VolumeUse(staged="/s"), "/t", "/s", VolumeUse(staged="/s", published=("/t",))),
            (VolumeUse(), "/t", "/s", VolumeUse(staged="/s", published=("/t",))),
            (VolumeUse(staged="/s", published=("/b",)), "/a", "/s", VolumeUse(staged="/s", published=("/a", "/b"))),
            (VolumeUse(staged="/old"), "/s", "/s", VolumeUse(staged="/s", published=("/old",))),
            (VolumeUse(published=("/s",)), "/s", "/s", VolumeUse(staged="/s")),
            (VolumeUse(staged="/s"), "/s", "", VolumeUse(staged="/s")),
            (VolumeUse(staged="/s"), "/t", "", VolumeUse(staged="/s", published=("/t",))),
        ],
    )
    def test_a_mount_adds_to_the_use(self, before: VolumeUse, path: str, staging: str, after: VolumeUse) -> None:
        assert use_with(before, path, staging) == after

    def test_an_unmount_takes_away_from_the_use(self) -> None:
        use = VolumeUse(staged="/s", published=("/a", "/b"))

        assert use_without(use, "/a") == VolumeUse(staged="/s", published=("/b",))
        assert use_without(use, "/s") == VolumeUse(published=("/a", "/b"))
        assert use_without(use, "/elsewhere") == use

    def test_mounts_of_parts_count_for_removal_but_not_as_use(self) -> None:
        mounts = table("8:16 /pvc-1/sub /subpath rw")

        assert mounted_at(mounts, PLACE) == ["/subpath"]
        assert use_of(mounts, PLACE).staged == ""


class TestTakingAway:
    @pytest.mark.parametrize("root", ["/pvc-1", "/pvc-1.deleted", "/pvc-1//deleted", "/pvc-1.deleted//deleted"])
    def test_a_mount_of_the_volume_is_known_even_after_its_removal(self, root: str) -> None:
        mount = table(f"8:99 {root} /t rw").mounts[0]

        assert decisions.is_mount_of(mount, "pvc-1", "")

    @pytest.mark.parametrize("root", ["/", "/pvc-2", "/pvc-1/sub", "/pvc-10"])
    def test_other_mounts_are_not_the_volumes(self, root: str) -> None:
        assert not decisions.is_mount_of(table(f"8:16 {root} /t rw").mounts[0], "pvc-1", "0:50")

    def test_the_stand_in_of_a_suspended_volume_is_its_mount(self) -> None:
        mount = parse("9 1 0:50 / /t ro - tmpfs tmpfs ro").mounts[0]

        assert decisions.is_mount_of(mount, "pvc-1", "0:50")
        assert not decisions.is_mount_of(mount, "pvc-1", "")


class TestElsewhere:
    """Of a volume whose drive is not here, only names tell."""

    @pytest.mark.parametrize(
        "line",
        [
            "9 1 8:99 /pvc-1 /t rw - xfs /dev/sdx rw",
            "9 1 8:99 /pvc-1/sub//deleted /t rw - xfs /dev/sdx rw",
            "9 1 0:50 / /t ro - tmpfs directpv-cover:u:noatime:/pvc-1 ro",
        ],
    )
    def test_a_mount_of_it_or_what_covers_one_is_found(self, line: str) -> None:
        assert decisions.is_mounted(parse(line), "pvc-1")
        assert not decisions.is_mounted(parse(line), "pvc-10")

    def test_other_file_systems_do_not_count(self) -> None:
        assert not decisions.is_mounted(parse("9 1 8:99 /pvc-1 /t rw - ext4 /dev/sdx rw"), "pvc-1")


class TestFlags:
    def test_flags_that_hold_anyway_need_not_be_set(self) -> None:
        assert decisions.mount_flags(("defaults", "rw", "noatime", "prjquota")) == {"noatime"}

    def test_read_only_is_a_flag(self) -> None:
        assert decisions.mount_flags((), read_only=True) == {"ro"}

    @pytest.mark.parametrize("flags", [("sync",), ("noexec", "logdev=/dev/sda"), ("remount",), ("bind",), ("",)])
    def test_flags_of_the_whole_file_system_are_refused_by_name(self, flags: tuple[str, ...]) -> None:
        with pytest.raises(InvalidRequest, match="mount_flags"):
            decisions.mount_flags(flags)

    @pytest.mark.parametrize("option", ["ro", "rw", "noatime", "atime", "defaults", "discard", "x-systemd.wanted-by=a"])
    def test_what_the_gateway_of_any_version_lets_pass_can_be_mounted(self, option: str) -> None:
        assert decisions.mount_flags((option, "rw")) <= set(MOUNT_FLAGS)


class TestExpand:
    @pytest.mark.parametrize(("required", "size"), [(0, 100), (99, 100), (100, 100), (101, 101)])
    def test_a_volume_never_shrinks(self, required: int, size: int) -> None:
        assert decisions.expanded_capacity("v", 100, required, 0) == size

    def test_a_limit_below_the_present_size_is_out_of_range(self) -> None:
        with pytest.raises(OutOfRange):
            decisions.expanded_capacity("v", 100, 0, 99)
        assert decisions.expanded_capacity("v", 100, 0, 100) == 100

    def test_a_limit_below_the_required_size_is_invalid(self) -> None:
        with pytest.raises(InvalidRequest):
            decisions.expanded_capacity("v", 100, 200, 199)

    def test_a_path_where_the_volume_is_not_mounted_is_not_found(self) -> None:
        decisions.check_mounted(table(STAGED), PLACE, "/s")
        for path in ("/t", "/"):
            with pytest.raises(NotFound):
                decisions.check_mounted(table(STAGED, "8:16 / / rw"), PLACE, path)
