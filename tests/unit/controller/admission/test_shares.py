"""What strangers may take of what there is for all of them."""

from directpv_controller.admission.core.shares import Shares


def test_nobody_takes_more_than_his_share_and_all_together_no_more_than_there_is() -> None:
    shares = Shares(for_all=5, for_each=2)
    assert [shares.take("a") for _ in range(3)] == [True, True, False]
    assert [shares.take("b"), shares.take("c"), shares.take("d")] == [True, True, True]
    assert not shares.take("e")
    shares.give("a")
    assert shares.take("e")
