"""A drive is called by its id, by the first letters of it, or by node and device; never by what means two."""

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.commands.addresses import meant
from directpv_cli.reading.words import drive_words
from directpv_common.protocol.errors import InvalidRequest, NotFound

FIRST, SECOND = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10", "6d4b9999-0b1f-4a52-9d3e-1c1b3f3a9f11"
DRIVES = [
    m.DriveRecord(fsuuid=fsuuid, node=node, device="sda", total=1, overhead=0)
    for fsuuid, node in ((FIRST, "n1"), (SECOND, "n2"))
]


@pytest.mark.parametrize("word", ["6d4b2", "6d4b2a3c-0b", "n1/sda", "n1/dev/sda", FIRST])
def test_a_beginning_that_no_other_has_and_node_with_device_mean_the_drive(word: str) -> None:
    assert drive_words([word]) == (word,)
    assert meant(word, DRIVES) == FIRST


def away(fsuuid: str, name: str) -> m.DriveRecord:
    return m.DriveRecord(fsuuid=fsuuid, node="n1", last_device=name, total=1, overhead=0)


def test_a_drive_that_is_away_is_called_by_its_last_name_unless_another_drive_has_it_or_had_it() -> None:
    lost, also = away(SECOND, "sdb"), away("7d4b9999-0b1f-4a52-9d3e-1c1b3f3a9f11", "sdb")
    assert meant("n1/sdb", [*DRIVES[:1], lost]) == SECOND
    assert meant("n1/sda", [*DRIVES[:1], away(SECOND, "sda")]) == FIRST
    with pytest.raises(InvalidRequest, match=f"2 drives: {SECOND} .was n1/sdb."):
        meant("n1/sdb", [lost, also])
    with pytest.raises(NotFound):
        meant("n2/sdb", [lost])


def test_what_means_two_drives_is_refused_with_both_their_names() -> None:
    with pytest.raises(InvalidRequest, match=f"2 drives: {FIRST} .n1/sda., {SECOND} .n2/sda."):
        meant("6d4b", DRIVES)


@pytest.mark.parametrize("word", ["abcd", "n3/sda", "n1/sdb"])
def test_what_means_no_drive_is_refused_by_its_name(word: str) -> None:
    with pytest.raises(NotFound, match=f"'{word}'"):
        meant(word, DRIVES)


@pytest.mark.parametrize("word", ["6d", "", "sda", "/sda", "n1/", "6D4B2A3C", "../x", "n1/a/b"])
def test_what_cannot_be_a_drive_is_refused_before_anybody_is_asked(word: str) -> None:
    with pytest.raises(ValueError, match="is not a drive id"):
        drive_words([word])
