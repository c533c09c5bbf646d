"""What is asked for next, when a node tells its drives in parts."""

import pytest

import directpv_common.protocol.messages as m
from directpv_controller.core.taking_in.parts import Asked, following
from unit.controller.builders import drive_record, held

LOW, MIDDLE, HIGH = (drive_record(fsuuid=f"{digit * 8}-0000-4000-8000-000000000001") for digit in "08f")
DRIVES = (LOW, MIDDLE, HIGH)
IDS = tuple(drive.fsuuid for drive in DRIVES)


def answer(*told: m.HeldDrive, left: tuple[str, ...] = ()) -> m.Inventory:
    return m.Inventory(info=m.NodeInfo(name="n1", topology={}), boot="b", drives=told, left=left)


@pytest.mark.parametrize("order", [DRIVES, DRIVES[::-1]], ids=["ids ascend", "ids descend"])
def test_the_next_part_of_the_drive_that_was_told_in_part_is_asked_for_before_those_that_are_left(
    order: tuple[m.DriveRecord, ...],
) -> None:
    first, second, third = order
    then = following(answer(held(first), held(second, more="v7"), left=(third.fsuuid,)))

    assert then == Asked((second.fsuuid, third.fsuuid), "v7")
    assert then.is_further(Asked(tuple(drive.fsuuid for drive in order)))
    again = following(answer(held(second, more="v9"), left=(third.fsuuid,)))
    assert again.is_further(then)
    assert following(answer(held(second), held(third))) == Asked(())
    assert Asked(()).is_further(again)


@pytest.mark.parametrize(
    ("before", "then"),
    [
        pytest.param(Asked(IDS[:1], "v7"), Asked(IDS[:1], "v7"), id="the same part"),
        pytest.param(Asked(IDS[:1], "v7"), Asked(IDS[:1], "v3"), id="an earlier part"),
        pytest.param(Asked(IDS[:1], "v7"), Asked(IDS[:2], "v9"), id="more drives"),
        pytest.param(Asked(IDS[:2], "v7"), Asked(IDS[1::-1], "v9"), id="another drive instead"),
        pytest.param(Asked(IDS), Asked(IDS), id="nothing told"),
    ],
)
def test_a_node_that_does_not_get_on_is_not_asked_for_ever(before: Asked, then: Asked) -> None:
    assert not then.is_further(before)
