"""The one vocabulary of what can be wrong."""

import re

import pytest

from directpv_common.crd.shape import condition_object
from directpv_common.protocol.messages import Ailment, Condition, ConditionType, DriveStatus, Effect
from directpv_common.protocol.reasons import AT_MOST, TABLE, Reason, ailments_of, reason_for, worst

KUBERNETES = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?\Z")
"""What Kubernetes takes as the reason of a condition (apimachinery, ``Condition``)."""
DRIVE = "0f3c2a1e-5b6d-4c7e-8f90-a1b2c3d4e5f6"


def condition(kind: ConditionType, message: str = "x") -> Condition:
    return Condition(type=kind, message=message, since="2026-11-22T10:00:00Z")


def reasons(status: DriveStatus, *kinds: ConditionType) -> list[tuple[str, str]]:
    return [(each.effect.value, each.reason) for each in ailments_of(status, map(condition, kinds), "drive", DRIVE)]


def test_every_reason_has_a_meaning_and_advice_and_is_a_word_that_kubernetes_takes() -> None:
    for reason in Reason:
        assert KUBERNETES.match(reason)
        assert TABLE[reason].says
        assert len(TABLE[reason].advice) > 20


@pytest.mark.parametrize("kind", ConditionType)
def test_csi_and_custom_resources_call_a_condition_the_same(kind: ConditionType) -> None:
    shown = condition_object(condition(kind))["reason"]

    assert shown in [reason for _, reason in reasons(DriveStatus.ERROR, kind)]
    assert shown in list(Reason)


@pytest.mark.parametrize("status", DriveStatus)
def test_only_a_drive_in_a_state_that_serves_has_nothing_wrong_when_no_condition_says_why(status: DriveStatus) -> None:
    serves = status in (DriveStatus.READY, DriveStatus.MOVING)

    assert (reasons(status) == []) == serves
    assert all(effect == "Inaccessible" for effect, _ in reasons(status))


def test_a_lost_drive_is_lost_once_and_its_warnings_come_after() -> None:
    assert reasons(DriveStatus.LOST, ConditionType.SLOW, ConditionType.LOST) == [
        ("Inaccessible", "DriveLost"),
        ("Degraded", "DriveIsSlow"),
    ]


def test_a_warning_of_an_unserved_drive_does_not_hide_that_it_is_not_served() -> None:
    assert reasons(DriveStatus.ERROR, ConditionType.SLOW)[0] == ("Inaccessible", "DriveHasError")


def test_words_of_a_later_version_are_told_as_they_are() -> None:
    assert reasons(DriveStatus("Melting"), ConditionType("Hot")) == [("Inaccessible", "DriveHasHot")]
    assert reasons(DriveStatus.READY, ConditionType("Hot")) == [("Degraded", "DriveHasHot")]
    assert reason_for(ConditionType("Hot")) == "DriveHasHot"


def test_a_message_stays_the_same_while_figures_change() -> None:
    """kubelet keeps the first message of a reason."""

    def told(text: str) -> tuple[Ailment, ...]:
        return ailments_of(DriveStatus.READY, [condition(ConditionType.SLOW, text)], "drive", DRIVE)

    assert told("requests take 1.2 s") == told("requests take 3.4 s")


def test_of_many_ailments_the_worst_stay_each_once() -> None:
    many = [Ailment(effect=Effect.DEGRADED, reason=f"R{n}") for n in range(40)]
    lost = Ailment(effect=Effect.INACCESSIBLE, reason="DriveLost")

    kept = worst([*many, lost, *many, lost])

    assert kept[0] == lost
    assert len(kept) == len({(each.effect, each.reason) for each in kept}) == AT_MOST
