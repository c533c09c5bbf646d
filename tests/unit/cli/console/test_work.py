"""Work is kept for the page that shows it, and not forgotten while it runs."""

from collections import OrderedDict

from directpv_cli.console.core.actions import Action, Asked
from directpv_cli.console.core.work import KEPT, Work, keep


def work(name: str, status: int | None = None) -> Work:
    return Work(name, Asked(Action.EVACUATE, ("d1",), ("n1/sda",)), 0.0, status=status)


def test_the_last_of_many_are_kept_and_none_is_forgotten_that_runs() -> None:
    kept: OrderedDict[str, Work] = OrderedDict()
    keep(kept, "long", work("long"))
    for number in range(KEPT + 5):
        keep(kept, f"w{number}", work(f"w{number}", status=0))
    assert len(kept) == KEPT
    assert "long" in kept
    assert "w0" not in kept
    assert f"w{KEPT + 4}" in kept


def test_work_that_was_cut_off_is_not_called_failed_and_what_was_done_before_is_done() -> None:
    states = {
        (status, cut_off): Work("w", work("w").asked, 0.0, status=status, cut_off=cut_off).state
        for status in (None, 0, 1)
        for cut_off in (False, True)
    }
    del states[0, True]  # never: what has ended well was not cut off
    assert states == {
        (None, False): "running",
        (None, True): "running",
        (0, False): "done",
        (1, False): "failed",
        (1, True): "not followed any more",
    }
