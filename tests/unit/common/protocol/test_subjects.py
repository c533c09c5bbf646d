"""Subjects."""

import pytest

from directpv_common.protocol.subjects import Subjects


def test_a_node_name_with_dots_is_one_token():
    assert Subjects().node("ip-10.ec2.internal", "volume", "stage").split(".") == [
        "directpv", "v1", "node", "ip-10_ec2_internal", "volume", "stage",
    ]  # fmt: skip


@pytest.mark.parametrize("prefix", ["", ".", "a..b", "a.", "a b", "a.*", "a.>", "a\n"])
def test_a_prefix_that_would_break_subjects_is_refused(prefix):
    with pytest.raises(ValueError, match="prefix"):
        Subjects(prefix)


def test_installations_with_different_prefixes_share_no_subject_and_no_stream():
    one, other = Subjects("a"), Subjects("b.c")

    assert not {one.state("n"), one.stream, one.all_events} & {other.state("n"), other.stream, other.all_events}
