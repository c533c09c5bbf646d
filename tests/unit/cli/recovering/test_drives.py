"""Which drives become another node's, and which are left alone with the reason; what words mean."""

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.reading.recovery import claims_of_volumes
from directpv_cli.recovering.core.drives import Found, Registered, drive_row
from directpv_cli.recovering.core.rows import Action
from directpv_cli.recovering.core.targets import targets
from directpv_common.crd.persistent_volumes import Claim
from directpv_common.protocol.errors import InvalidRequest, NotFound

ONE, TWO = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10", "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f11"
LOST, READY = m.DriveStatus.LOST, m.DriveStatus.READY


def found(says: str = "n1", node: str = "n2", fsuuid: str = ONE, problem: str = "") -> Found:
    return Found(node, m.SeenDrive(fsuuid=fsuuid, device="sdb", node=says, count=2, problem=problem))


def known(node: str, status: m.DriveStatus, **online: bool) -> Registered:
    record = m.DriveRecord(fsuuid=ONE, node=node, total=1, overhead=0, device="sda", status=status)
    return Registered({ONE: record}, online)


NOBODY = Registered({}, {})


@pytest.mark.parametrize(
    ("each", "registered", "dangerous", "action", "says"),
    [
        (found("n2"), known("n2", READY, n2=True), False, Action.EXISTS, ""),
        (found("n2"), NOBODY, False, Action.EXISTS, "about to report"),
        (found("n1"), NOBODY, False, Action.ADOPT, "of node n1, with 2 volumes"),
        (found("n1"), known("n1", LOST, n1=True), False, Action.ADOPT, "of node n1"),
        (found("n1"), known("n1", READY, n1=True), True, Action.CONFLICT, "n1 is online and has it"),
        (found("n1"), known("n1", READY, n1=False), False, Action.CONFLICT, "--dangerous"),
        (found("n1"), known("n1", LOST, n1=False), False, Action.CONFLICT, "--dangerous"),
        (found("n1"), known("n1", LOST), False, Action.CONFLICT, "--dangerous"),
        (found("n1"), known("n1", READY, n1=False), True, Action.ADOPT, "of node n1"),
        (found("n1"), known("n2", LOST, n2=True), False, Action.ADOPT, "of node n1"),
        (found("n2"), known("n1", LOST, n1=True), False, Action.ADOPT, "of node n1"),
        (found(""), known("n1", LOST, n1=True), False, Action.ADOPT, "of node n1"),
        (found(""), NOBODY, False, Action.EXISTS, "about to report"),
        (found(problem="it is damaged"), NOBODY, True, Action.CONFLICT, "it is damaged"),
    ],
)
def test_a_drive_becomes_another_nodes_only_if_no_node_can_have_it_mounted(
    each: Found, registered: Registered, dangerous: bool, action: Action, says: str
) -> None:
    row = drive_row(each, (), registered, dangerous=dangerous)
    assert (row.action, says in row.detail) == (action, True), row


def test_a_drive_that_two_nodes_have_is_nobodys() -> None:
    row = drive_row(found(), {"n3"}, NOBODY, dangerous=True)
    assert (row.action, "node n3 has it too" in row.detail) == (Action.CONFLICT, True)


def test_a_drive_that_was_given_up_comes_back_only_if_it_is_named() -> None:
    for says in ("n1", "n2"):
        retired = Found("n2", m.SeenDrive(fsuuid=ONE, device="sdb", node=says, count=1, retired="2026-11-29"))
        left = drive_row(retired, (), NOBODY, dangerous=True)
        assert (left.action, "was removed at 2026-11-29" in left.detail) == (Action.LEFT, True)
        back = drive_row(retired, (), NOBODY, dangerous=False, named=True)
        assert (back.action, back.detail) == (Action.ADOPT, "of nobody, with 1 volume")


def test_a_word_is_a_node_or_a_drive() -> None:
    drives = [found(), found(node="n3", fsuuid=TWO)]
    everything = targets([], ["n2"], drives, [])
    assert everything.has("n9", "x")
    meant = targets(["n2"], ["n2"], drives, [])
    assert (meant.has("n2", ONE), meant.has("n3", TWO)) == (True, False)
    for word in ("n3/sdb", TWO):
        meant = targets([word], ["n2"], drives, [])
        assert (meant.has("n2", ONE), meant.has("n3", TWO)) == (False, True)
    with pytest.raises(NotFound, match="'n7' is no node"):
        targets(["n7"], ["n2"], drives, [])
    with pytest.raises(InvalidRequest, match="means 2 drives"):
        targets([ONE[:8]], ["n2"], drives, [])


def test_claims_are_named_for_volumes() -> None:
    assert claims_of_volumes(["pvc-1=shop/data-0"]) == {"pvc-1": Claim("shop", "data-0")}
    for words in (["pvc-1"], ["pvc-1=data"], ["pvc-1=Shop/data"], ["=a/b"], ["a=b/c", "a=b/d"], ["a=b/c", "d=b/c"]):
        with pytest.raises(ValueError, match="--claim"):
            claims_of_volumes(words)
