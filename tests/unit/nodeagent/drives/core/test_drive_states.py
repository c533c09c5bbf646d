"""The table of drive states holds no trap, and no order of looks harms data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from directpv_common.protocol.messages import DriveStatus
from directpv_nodeagent.drives.core.states import Action, Observation, step

READY, LOST, ERROR = DriveStatus.READY, DriveStatus.LOST, DriveStatus.ERROR
OPERATIONS = [DriveStatus.REPAIRING, DriveStatus.MOVING, DriveStatus.REMOVED]
statuses = st.sampled_from(DriveStatus)
looks = st.lists(st.sampled_from(Observation))
ENDS = {Observation.OPERATION_ENDED, Observation.CHECK_ENDED}
plain_looks = st.lists(st.sampled_from([look for look in Observation if look not in ENDS]))


def after(status, observations):
    for observation in observations:
        status = step(status, observation).status
    return status


@given(statuses, looks)
def test_whatever_happened_a_drive_that_is_well_again_is_ready_again(status, past):
    status = after(status, [*past, Observation.OPERATION_ENDED, Observation.PRESENT_MOUNTED])
    assert status is READY


@given(st.sampled_from([READY, LOST, ERROR]), plain_looks)
def test_a_drive_that_nobody_works_on_needs_one_good_look_to_be_ready(status, past):
    assert after(status, [*past, Observation.PRESENT_MOUNTED]) is READY


@given(st.sampled_from([READY, LOST, ERROR]), plain_looks)
def test_a_drive_without_device_is_lost_whatever_it_was_before(status, past):
    assert after(status, [*past, Observation.ABSENT]) is LOST


@given(st.sampled_from(OPERATIONS), plain_looks)
def test_nothing_that_is_seen_ends_an_operation_of_people(status, past):
    assert after(status, past) is status


@pytest.mark.parametrize("status", OPERATIONS)
def test_the_end_of_an_operation_always_leaves_its_state(status):
    assert step(status, Observation.OPERATION_ENDED).status in (READY, ERROR)


@given(statuses, st.sampled_from(Observation))
def test_the_same_look_twice_says_nothing_new(status, observation):
    first = step(status, observation)
    second = step(first.status, observation)
    assert second.status is first.status
    assert second.event is None


@given(statuses, st.sampled_from(Observation))
def test_an_event_is_emitted_if_and_only_if_the_status_changes(status, observation):
    found = step(status, observation)
    assert (found.event is not None) == (found.status is not status)


@given(statuses, st.sampled_from(Observation))
def test_a_drive_that_turns_bad_says_why_and_a_good_one_has_no_condition(status, observation):
    found = step(status, observation)
    if found.status is ERROR and status is not ERROR:
        assert found.condition is not None
    if observation is Observation.ABSENT and found.status is LOST:
        assert found.condition is not None
    if found.status is READY:
        assert found.condition is None


@given(statuses, looks)
def test_a_file_system_that_works_is_never_unmounted(status, past):
    status = after(status, past)
    for well in (Observation.PRESENT_MOUNTED, Observation.RELABEL_FAILED, Observation.DUPLICATE, Observation.ABSENT):
        assert step(status, well).action is not Action.REMOUNT


@given(statuses)
def test_a_drive_is_never_mounted_when_it_is_unclear_which_device_it_is(status):
    assert step(status, Observation.DUPLICATE).action is None
    assert step(status, Observation.ABSENT).action is None


@pytest.mark.parametrize("status", [DriveStatus.REPAIRING, DriveStatus.REMOVED])
@given(observation=st.sampled_from([look for look in Observation if look not in ENDS]))
def test_a_drive_that_is_repaired_or_removed_is_left_alone(status, observation):
    assert step(status, observation).action is None


@pytest.mark.parametrize("status", [READY, LOST, ERROR, DriveStatus.MOVING])
def test_a_drive_that_is_there_but_not_mounted_gets_mounted(status):
    assert step(status, Observation.PRESENT_UNMOUNTED).action is Action.MOUNT


@pytest.mark.parametrize("status", [READY, LOST, ERROR])
def test_a_dead_file_system_is_tried_again_at_every_look(status):
    for dead in (Observation.IO_ERROR, Observation.STALE_MOUNT):
        assert step(status, dead).action is Action.REMOUNT
        assert step(after(status, [dead]), dead).action is Action.REMOUNT


def test_only_a_look_that_finds_the_drive_mounted_makes_it_ready_from_lost_or_error():
    for status in (LOST, ERROR):
        makes_ready = {look for look in Observation if step(status, look).status is READY}
        assert makes_ready == {Observation.PRESENT_MOUNTED}


@pytest.mark.parametrize("observation", Observation)
def test_a_status_that_a_later_version_wrote_on_the_drive_is_left_as_error_is(observation: Observation) -> None:
    assert step(DriveStatus("Retired"), observation) == step(DriveStatus.ERROR, observation)


def test_a_check_of_a_drive_that_was_well_does_not_pass_through_error():
    found = step(DriveStatus.REPAIRING, Observation.CHECK_ENDED)
    assert (found.status, found.condition, found.action) == (READY, None, Action.MOUNT)
    for status in (READY, LOST, ERROR, DriveStatus.MOVING, DriveStatus.REMOVED):
        assert step(status, Observation.CHECK_ENDED).status is status
