"""Green hides nothing: whatever is not well, not heard or too old makes the screen red, with cause and advice."""

from typing import Any

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.console.core.attention import Level, is_well, of_node, verdict
from directpv_cli.console.core.picture import LEAST_SECONDS, STALE_SECONDS, Picture
from directpv_cli.showing.health import troubles
from unit.cli.console.making import drive, fsuuid, node, picture, volume

SLOW = m.Condition(type=m.ConditionType.SLOW, message="requests take 4 s", since="")
GONE = m.Condition(type=m.ConditionType.LOST, message="no device carries it", since="")


def test_an_installation_that_is_well_is_green() -> None:
    found = verdict(picture(), 1.0)
    assert (found.level, found.word, list(found.items)) == (Level.WELL, "Healthy", [])


@pytest.mark.parametrize(
    ("facts", "about", "cause", "advice"),
    [
        ({"leader": ""}, "Installation", "no controller leads", "look at the controllers' logs"),
        ({"stream": ""}, "Installation", "there is no event stream", "JetStream"),
        ({"nodes": ()}, "Installation", "no node agent was heard", "do its pods run"),
        ({"nodes": (node(online=False),)}, "n1", "node n1 is offline", "start its agent"),
        ({"drives": (drive(conditions=(SLOW,)),)}, "n1/sda", "DriveIsSlow: requests take 4 s", "smartctl"),
        (
            {"drives": (drive(status=m.DriveStatus.LOST, conditions=(GONE,), device=""),)},
            f"n1/{fsuuid(1)}",
            "DriveLost: no device carries it",
            "put the disk back",
        ),
        ({"drives": (drive(status=m.DriveStatus.ERROR),)}, "n1/sda", "it is Error", "log of the node's agent"),
        ({"drives": (drive(status=m.DriveStatus("Resting")),)}, "n1/sda", "it is Resting", ""),
        ({"volumes": (volume(abnormal=True, condition="drive is away"),)}, "pvc-1", "drive is away", ""),
        (
            {"moves": (m.MoveStatus(name="pvc-1", state=m.MoveState.FAILED, message="no space; none"),)},
            "pvc-1",
            "has failed, and nothing was lost: no space; none",
            "mend that, repeat it, or: kubectl directpv move --cancel pvc-1",
        ),
    ],
)
def test_one_thing_that_is_not_well_makes_the_screen_red_and_is_named_with_cause_and_advice(
    facts: dict[str, Any], about: str, cause: str, advice: str
) -> None:
    found = verdict(picture(**facts), 1.0)
    assert (found.level, found.word) == (Level.UNWELL, "1 trouble")
    (item,) = found.items
    assert item.about == about
    assert cause in item.cause
    assert advice in item.advice


@pytest.mark.parametrize("status", [*m.DriveStatus, m.DriveStatus("Resting")])
@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("conditions", [(), (SLOW,), (GONE,)])
def test_the_console_is_green_only_if_status_says_healthy(
    status: m.DriveStatus, online: bool, conditions: tuple[m.Condition, ...]
) -> None:
    seen = picture((drive(status=status, conditions=conditions, online=online),), nodes=(node(online=online),))
    assert (verdict(seen, 0.0).level is Level.WELL) == (not troubles(seen.heard)) == is_well(seen)


def test_a_drive_whose_node_is_away_is_named_once_by_its_node() -> None:
    away = picture((drive(online=False, conditions=(SLOW,)),), nodes=(node(online=False),))
    assert [item.about for item in verdict(away, 0.0).items] == ["n1"]


def test_a_drive_that_is_lost_is_named_beside_its_node_that_is_away() -> None:
    away = picture((drive(online=False, status=m.DriveStatus.LOST, conditions=(GONE,)),), nodes=(node(online=False),))
    assert [item.kind for item in verdict(away, 0.0).items] == ["node", "drive"]


def test_a_volume_that_is_abnormal_is_enough_not_to_be_well() -> None:
    assert not is_well(picture(volumes=(volume(abnormal=True, condition="the drive is lost"),)))


def test_drives_that_serve_nobody_come_before_those_that_are_worse_than_they_were() -> None:
    seen = picture((drive(1, conditions=(SLOW,)), drive(2, status=m.DriveStatus.ERROR)))
    assert [item.about for item in verdict(seen, 0.0).items] == ["n1/sdb", "n1/sda"]


def test_volumes_of_one_drive_are_one_trouble_and_many_troubles_are_counted() -> None:
    lost = {"abnormal": True, "condition": "the drive is lost"}
    together = verdict(picture(volumes=tuple(volume(number, **lost) for number in range(5))), 0.0)
    assert [item.about for item in together.items] == ["5 volumes on n1/sda"]
    many = verdict(picture(tuple(drive(1, status=m.DriveStatus.ERROR, device=f"d{n}") for n in range(130))), 0.0)
    assert (many.word, len(many.items), many.more) == ("130 troubles", 100, 30)


def test_what_is_too_old_or_was_not_heard_is_never_green() -> None:
    well = picture()
    assert verdict(well, STALE_SECONDS).level is Level.WELL
    assert verdict(well, STALE_SECONDS + 1) == (Level.STALE, "Not heard for 16s", [], 0, [])
    silent = verdict(well, 2.0, "no controller leads")
    assert (silent.level, silent.items[0].cause) == (Level.STALE, "no controller leads")


def test_a_look_that_takes_long_is_made_seldom_and_its_picture_may_be_older() -> None:
    slow, quick = Picture(picture().heard, took=2.0), Picture(picture().heard, took=0.01)
    assert (slow.pause, slow.least_pause, slow.stale_after) == (20.0, 20.0, 40.0)
    accident = Picture(picture().heard, took=60.0)
    assert (accident.pause, accident.least_pause, accident.stale_after) == (30.0, 30.0, 60.0)
    assert (quick.pause, quick.least_pause, quick.stale_after) == (3.0, LEAST_SECONDS, STALE_SECONDS)


def test_a_node_has_what_needs_attention_on_it_and_nothing_of_others() -> None:
    drives = (drive(1, conditions=(SLOW,)), drive(2, node="n2", status=m.DriveStatus.ERROR))
    ill = volume(1, abnormal=True, condition="it is not mounted")
    seen = picture(drives, (ill, volume(2, node="n2")), nodes=(node(online=False), node("n2")), leader="")
    assert [each.about for each in of_node(seen, seen.nodes[0])] == ["n1", "n1/sda", "pvc-1"]
    assert [each.about for each in of_node(seen, seen.nodes[1])] == ["n2/sdb"]
    assert of_node(picture(), node()) == []
