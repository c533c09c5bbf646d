"""What became of a change that was asked for."""

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.commands.changing.change import taken_over
from directpv_common.protocol.errors import FailedPrecondition

ASKED = m.ChangeVolume(name="pvc-1", set_labels={"team": "red", "tier": "hot"}, remove_labels=("old", "tier"))


def volume(**labels: str) -> m.VolumeRecord:
    return m.VolumeRecord(name="pvc-1", fsuuid="6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10", capacity=1, labels=labels)


@pytest.mark.parametrize(
    "answered",
    [
        pytest.param(volume(old="x"), id="nothing was done"),
        pytest.param(volume(team="red", tier="hot", old="x"), id="one is still there"),
        pytest.param(volume(team="blue", tier="hot"), id="one is another"),
    ],
)
def test_labels_that_an_earlier_controller_overlooked_are_not_said_to_be_set(answered: m.VolumeRecord) -> None:
    with pytest.raises(FailedPrecondition, match="upgrade"):
        taken_over(ASKED, answered)


def test_labels_that_are_as_asked_are_set() -> None:
    taken_over(ASKED, volume(team="red", tier="hot", more="y"))
