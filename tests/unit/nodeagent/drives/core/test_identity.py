"""Which of several drives with a volume of one name has the volume."""

import pytest

from directpv_common.protocol.errors import FailedPrecondition, Unavailable
from directpv_common.protocol.messages import DriveRecord, VolumeRecord, VolumeUse
from directpv_nodeagent.drives.core.identity import chosen, contested, mounted_at
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.view import Contents, DriveView

A = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
B = "00000000-0000-4000-8000-000000000000"
C = "00000000-0000-4000-8000-00000000000c"


def drive(fsuuid: str, incarnation: str = "", staged: str = "", stray_of: str = "") -> Drive:
    """A drive with a volume ``v``."""
    record = VolumeRecord(name="v", fsuuid=fsuuid, capacity=10, incarnation=incarnation)
    return Drive(
        Contents(
            view=DriveView("/r", fsuuid, "8:0", "sda", enforced=True),
            record=DriveRecord(fsuuid=fsuuid, node="n1", total=1000, overhead=0, device="sda"),
            volumes={"v": record},
            projects={},
            uses={"v": VolumeUse(staged=staged)} if staged else {},
            purging={},
            strays={"v": stray_of} if stray_of else {},
        )
    )


def test_a_single_drive_that_nothing_speaks_against_has_the_volume() -> None:
    only = drive(A)
    assert chosen("v", [only]) is only
    assert chosen("v", []) is None


def test_a_single_drive_is_not_taken_before_all_were_looked_at_unless_more_than_the_name_speaks_for_it() -> None:
    with pytest.raises(Unavailable, match="still being looked at"):
        chosen("v", [drive(A)], complete=False)
    for only in (drive(A, staged="/s"), drive(A, incarnation="aa")):
        assert chosen("v", [only], incarnation="aa" if only.volumes["v"].incarnation else "", complete=False) is only
    for copy, hint in ((drive(B), A), (drive(B, stray_of=A), "")):
        with pytest.raises(Unavailable, match="still being looked at"):
            chosen("v", [copy], hint=hint, complete=False)
    hinted = drive(A)
    assert chosen("v", [hinted], hint=A, complete=False) is hinted


@pytest.mark.parametrize("turn", [1, -1])
def test_the_order_of_drives_never_decides(turn: int) -> None:
    real, copy = drive(A, "aa"), drive(B, "bb")
    both = [real, copy][::turn]
    assert chosen("v", both, incarnation="aa") is real
    assert chosen("v", both, hint=B) is copy
    with pytest.raises(FailedPrecondition, match=f"drive {both[0].fsuuid}.* and drive {both[1].fsuuid}.*both have"):
        chosen("v", both)


def test_a_mount_decides_if_one_of_them_has_one() -> None:
    used, idle = drive(A, staged="/s"), drive(B)
    assert chosen("v", [idle, used]) is used
    with pytest.raises(FailedPrecondition, match="both have"):
        chosen("v", [drive(A, staged="/s"), drive(B, staged="/t")])


def test_what_the_leader_called_a_copy_is_never_served() -> None:
    real, copy = drive(A), drive(B, "aa", staged="/s", stray_of=A)
    assert chosen("v", [copy, real], hint=B, incarnation="aa") is real
    with pytest.raises(FailedPrecondition, match=f"v is on drive {A}.*copy"):
        chosen("v", [copy], hint=B)


def test_a_drive_that_the_context_does_not_name_is_served_only_if_the_incarnation_speaks_for_it() -> None:
    moved = drive(A, "aa")
    assert chosen("v", [moved], hint=C, incarnation="aa") is moved
    with pytest.raises(FailedPrecondition, match=f"created on drive {C}"):
        chosen("v", [moved], hint=C)


def test_two_drives_with_one_incarnation_are_told_apart_by_the_context() -> None:
    both = [drive(B, "aa"), drive(A, "aa")]
    assert chosen("v", both, hint=A, incarnation="aa") is both[1]


def test_a_path_tells_whose_volume_is_mounted_there() -> None:
    one, two = drive(A, staged="/s"), drive(B, staged="/t")
    assert (mounted_at("v", [one, two], "/t"), mounted_at("v", [one, two], "/u")) == (two, None)


def test_a_volume_is_contested_until_all_but_one_are_called_copies() -> None:
    one, two = drive(A), drive(B)
    assert contested(one, [one, two]) == contested(two, [one, two]) == {"v"}
    two.set_stray("v", A)
    assert (contested(one, [one, two]), contested(two, [one, two])) == (frozenset(), frozenset())
