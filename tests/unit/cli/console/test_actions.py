"""What forms ask for, what must be typed before it is done, and that a plan is carried out once, while it is fresh."""

import pytest

from directpv_cli.console.core.actions import ACTIONS, Action, Asked, Noun, Options, Plan, read
from directpv_cli.console.serving.verbs import VERBS
from directpv_common.protocol.messages import Wipe

LOSES = {
    Action.SUSPEND_DRIVES,
    Action.SUSPEND_VOLUMES,
    Action.REMOVE_LOST,
    Action.REMOVE_NODE,
    Action.INIT,
    Action.CLEAN,
}
"""What the plugin does with --dangerous alone, and what deletes."""


def asked(action: Action, *titles: str, **options: object) -> Asked:
    return Asked(action, titles, titles, Options(**options))  # type: ignore[arg-type]


def test_every_action_is_a_verb_of_the_plugin_and_is_described() -> None:
    assert ACTIONS.keys() == VERBS.keys() == set(Action)


@pytest.mark.parametrize("action", list(Action))
def test_what_loses_data_or_hides_it_must_be_confirmed_by_its_name_and_nothing_else(action: Action) -> None:
    assert asked(action, "n1/sda").word == ("n1/sda" if action in LOSES else "")


@pytest.mark.parametrize(
    ("action", "options"), [(Action.REMOVE, {"wipe": Wipe.ZERO}), (Action.REPAIR, {"force": True})]
)
def test_an_option_that_loses_data_needs_the_name_too(action: Action, options: dict[str, object]) -> None:
    assert asked(action, "n1/sda").word == ""
    assert asked(action, "n1/sda", **options).word == "n1/sda"


def test_a_drive_without_device_is_confirmed_by_a_name_that_can_be_typed() -> None:
    lost = Asked(Action.REMOVE_LOST, ("x",), ("n1/1eca6a7c-53f2 (was sda)",), name="n1/1eca6a7c")
    assert lost.word == "n1/1eca6a7c"


def test_several_things_are_confirmed_by_their_number() -> None:
    assert asked(Action.REMOVE_LOST, "n1/sda", "n1/sdb").word == "2 drives"
    assert asked(Action.INIT, "n1/sda", "n1/sdb").title == "Initialise: 2 devices"


@pytest.mark.parametrize(
    ("typed", "now", "facts", "why"),
    [
        ("n1/sda", 100.0, {}, ""),
        (" n1/sda ", 100.0, {}, ""),
        ("n1/sdb", 100.0, {}, "type n1/sda to confirm"),
        ("", 100.0, {}, "type n1/sda to confirm"),
        ("n1/sda", 161.0, {}, "this plan is old"),
        ("n1/sda", 100.0, {"possible": False}, "this cannot be done"),
        ("n1/sda", 100.0, {"spent": True}, "was carried out already"),
    ],
)
def test_a_plan_is_carried_out_once_while_it_is_fresh_and_by_its_word(
    typed: str, now: float, facts: dict[str, bool], why: str
) -> None:
    plan = Plan(asked(Action.REMOVE_LOST, "n1/sda"), [], 100.0, **facts)
    said = plan.refusal(typed, now, 60.0)
    assert (said == "") if why == "" else (why in said)


def test_a_form_is_read_with_its_options_and_those_of_other_actions_are_left_out() -> None:
    fields = [
        ("action", "remove"),
        ("target", "a"),
        ("target", "b"),
        ("target", "a"),
        ("wipe", "zero"),
        ("force", "on"),
    ]
    assert read(fields) == (Action.REMOVE, ("a", "b"), Options(wipe=Wipe.ZERO))
    assert read([("action", "repair"), *fields[1:]])[2] == Options(force=True)
    assert read([("action", "cordon"), *fields[1:], ("to", "x")])[2] == Options()


@pytest.mark.parametrize("action", [each for each in Action if ACTIONS[each].single])
def test_what_is_done_to_one_thing_is_not_done_to_two(action: Action) -> None:
    with pytest.raises(ValueError, match="target: choose 1 at most"):
        read([("action", action.value), ("target", "a"), ("target", "b")])
    assert ACTIONS[action].noun is not Noun.DEVICE


def test_no_form_acts_on_more_than_a_thousand_things() -> None:
    with pytest.raises(ValueError, match="target: choose 1000 at most"):
        read([("action", "cordon"), *(("target", str(number)) for number in range(1001))])


def test_labels_are_taken_as_they_were_written_or_refused_never_cut() -> None:
    fields = [("action", "label drives"), ("target", "a")]
    long = " ".join(f"key{number}={'v' * 60}" for number in range(200))
    assert read([*fields, ("labels", long)])[2].labels == long
    with pytest.raises(ValueError, match=r"labels: \d+ letters; write 20000 at most"):
        read([*fields, ("labels", f"{long} {long}")])


def test_a_plan_that_would_do_something_else_by_now_is_not_carried_out() -> None:
    first = Plan(asked(Action.CLEAN, "pvc-1", "pvc-2"), [("Volume pvc-1 would be deleted", False)], 100.0)
    same = Plan(first.asked, [("Volume pvc-1 would be deleted", False)], 105.0)
    assert first.is_like(same)
    assert not first.is_like(Plan(first.asked, [*first.said, ("Volume pvc-2 would be deleted", False)], 105.0))
    assert not first.is_like(Plan(first.asked, first.said, 105.0, possible=False))
    assert not first.is_like(Plan(first.asked, first.said, 105.0, tables=[(("A",), (("b",),))]))
    first.spent, first.later = True, "another"
    assert "there is a newer plan; nothing was done" in first.refusal("2 volumes", 106.0, 60.0)
