"""Which epochs are believed: those that leaders make, and none that would end fencing."""

import itertools
import time

import pytest

import directpv_common.protocol.messages as m
from directpv_common import crd
from directpv_common.protocol.epochs import AHEAD_SECONDS, SLACK_SECONDS, WRITTEN, epoch_in, may_be_followed, next_epoch
from directpv_common.protocol.errors import InvalidRequest
from directpv_common.protocol.wire import decode

ABSURD = [10**18 - 1, 10**18, 10**17, 2**63, 10**11]


def written_in(epoch: object) -> crd.Object:
    return {"metadata": {"annotations": {crd.EPOCH: str(epoch)}}}


@pytest.mark.parametrize("epoch", [0, 1, 1_800_000_000, 4_100_000_000, 9_999_999_999])
def test_what_a_leader_with_any_clock_may_have_written_is_believed(epoch: int) -> None:
    assert crd.epoch_of(written_in(epoch)) == epoch
    assert crd.odd_epoch(written_in(epoch)) == ""


@pytest.mark.parametrize("text", [*map(str, ABSURD), "-1", "1e9", "²", "x", "9" * 5000])
def test_what_no_leader_writes_is_not_believed_and_can_be_told(text: str) -> None:
    assert crd.epoch_of(written_in(text)) is None
    assert crd.odd_epoch(written_in(text)) == text


def test_an_object_without_epoch_is_not_odd() -> None:
    assert (crd.epoch_of({"metadata": {}}), crd.odd_epoch({"metadata": {}})) == (None, "")


def test_whatever_is_followed_the_next_leaders_are_believed_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", itertools.count(2_000_000_000).__next__)
    epoch = 2_000_000_000 + AHEAD_SECONDS
    for _ in range(100):
        assert may_be_followed(epoch)
        epoch, last = next_epoch(epoch), epoch
        assert epoch > last
        assert epoch_in(str(epoch)) == epoch


def test_a_machine_whose_clock_was_reset_believes_what_the_others_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "time", lambda: 0.0)

    assert epoch_in("1800000000") == 1_800_000_000
    assert next_epoch(1_800_000_000) == 1_800_000_001


@pytest.mark.parametrize("epoch", ABSURD)
def test_a_leader_after_an_absurd_epoch_begins_anew_with_one_that_is_believed(epoch: int) -> None:
    new = next_epoch(epoch)

    assert new <= time.time() + 1
    assert epoch_in(str(new)) == new


def test_an_epoch_just_beyond_what_is_followed_is_still_obeyed_and_put_right() -> None:
    beyond = int(max(time.time(), WRITTEN)) + AHEAD_SECONDS + SLACK_SECONDS // 2

    assert crd.epoch_of(written_in(beyond)) == beyond
    assert crd.odd_epoch(written_in(beyond)) == str(beyond)
    assert next_epoch(beyond) < beyond


@pytest.mark.parametrize("epoch", [10**18 - 1, 2**40 + 1, -1])
def test_an_order_in_an_absurd_epoch_is_refused_before_a_node_remembers_it(epoch: int) -> None:
    with pytest.raises(InvalidRequest, match="epoch"):
        decode(b'{"registry":"r","epoch":%d}' % epoch, m.Fence)
