"""Killed at every step of what is done to the two drives: the same call again ends the work, with the data once."""

import os
import shutil
from pathlib import Path

import pytest
from msgspec.structs import replace

from directpv_common.protocol.errors import FailedPrecondition
from directpv_common.protocol.messages import HeldCopy, MovePhase, Moving, VolumeRecord
from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.drives.taken.inspection import Host
from directpv_nodeagent.drives.taken.takeover import take_over
from directpv_nodeagent.layout import volume_dirs
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.volumes import remains
from directpv_nodeagent.volumes.moving import incoming
from integration.nodeagent.crashing import FSUUID, every_crash
from support.node_client import MIB

OTHER = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f11"
MOVE = "0123456789abcdef"
RECORD = VolumeRecord(name="pvc-1", fsuuid=FSUUID, capacity=20 * MIB, incarnation="ab")
FLIPPED = replace(RECORD, moving=Moving(drive=OTHER, id=MOVE, phase=MovePhase.FLIPPED))


def clean(view: DriveView) -> None:
    """Take away all that a volume leaves on the drive."""
    top = Path(view.path)
    for path in (top / "pvc-1", top / "pvc-1.deleted", Path(incoming.path_of(view, "pvc-1"))):
        shutil.rmtree(path, ignore_errors=True)
    for kind in ("volumes", "held", "strays", "sealed", "moved"):
        shutil.rmtree(top / ".directpv" / kind, ignore_errors=True)


def make_copy(view: DriveView) -> None:
    clean(view)
    incoming.begin(view, RECORD, {})
    (Path(incoming.path_of(view, "pvc-1")) / "file").write_text("data")
    incoming.complete(view, RECORD, MOVE)


def make_volume(view: DriveView) -> None:
    clean(view)
    made = volume_dirs.prepare(view, [RECORD], {}, frozenset())
    assert isinstance(made["pvc-1"], int)
    (Path(view.path) / "pvc-1/file").write_text("data")


def places(view: DriveView) -> list[Path]:
    top = Path(view.path)
    found = (top / "pvc-1/file", Path(incoming.path_of(view, "pvc-1")) / "file", top / "pvc-1.deleted/file")
    return [path for path in found if path.exists()]


def test_a_copy_that_is_put_in_its_place(host: Host, facts: DeviceFacts, view: DriveView) -> None:
    def work() -> None:
        incoming.adopt(view, FLIPPED)
        made = volume_dirs.prepare(view, [RECORD], {}, frozenset())
        assert isinstance(made["pvc-1"], int), made

    def check() -> None:
        (place,) = places(view)
        assert place.read_text() == "data"
        found = take_over(host, FSUUID, facts)
        assert found.sealed == found.strays == {}
        work()
        found = take_over(host, FSUUID, facts)
        assert found.volumes == {"pvc-1": RECORD}
        assert (Path(view.path) / "pvc-1/file").read_text() == "data"
        assert found.copies == {}

    assert every_crash(lambda: make_copy(view), work, check) > 5


def test_a_copy_that_got_no_record_is_a_copy_again_for_whoever_knows_nothing_of_its_move(
    host: Host, facts: DeviceFacts, view: DriveView
) -> None:
    """The registry may be older than the move: nobody would ever ask for a directory of which nobody is told."""

    def work() -> None:
        incoming.adopt(view, FLIPPED)
        volume_dirs.prepare(view, [RECORD], {}, frozenset())
        incoming.settle(view, ["pvc-1"])

    def check() -> None:
        found = take_over(host, FSUUID, facts)
        (place,) = places(view)
        if "pvc-1" in found.volumes:
            assert (found.copies, place.parent.parent) == ({}, Path(view.path))
            assert "trusted.directpv.copied" not in os.listxattr(place.parent)
        else:
            (copy,) = found.copies.values()
            assert replace(copy, size=0) == HeldCopy(name="pvc-1", move=MOVE, incarnation="ab")
            assert copy.size >= len("data"), "what it takes is told"
            assert place.parent.parent.name == "incoming"

    assert every_crash(lambda: make_copy(view), work, check) > 5


def test_a_copy_in_its_place_without_record_is_the_volume_only_for_the_move_that_put_it_there(view: DriveView) -> None:
    make_copy(view)
    assert incoming.adopt(view, FLIPPED)
    assert incoming.adopt(view, FLIPPED), "the same order again"
    assert FLIPPED.moving is not None
    for record in (RECORD, replace(FLIPPED, moving=replace(FLIPPED.moving, id="b" * 16))):
        with pytest.raises(FailedPrecondition, match=f"is of move {MOVE}, and the registry knows of"):
            incoming.adopt(view, record)


def test_a_directory_without_record_that_is_no_copy_stays_where_it_is(
    host: Host, facts: DeviceFacts, view: DriveView
) -> None:
    clean(view)
    (Path(view.path) / "pvc-1").mkdir()
    (Path(view.path) / "pvc-1/file").write_text("data")

    assert take_over(host, FSUUID, facts).copies == {}
    assert [path.parent.parent for path in places(view)] == [Path(view.path)]


def test_a_copy_that_is_not_complete_is_never_put_in_its_place(view: DriveView) -> None:
    make_copy(view)

    def again() -> None:
        make_copy(view)
        incoming.begin(view, RECORD, {})

    def check() -> None:
        copy = incoming.found(view, "pvc-1")
        assert copy is None or (copy.move, copy.incarnation) in (("", ""), (MOVE, "ab"))
        assert not (Path(view.path) / "pvc-1").exists()

    assert every_crash(lambda: make_copy(view), again, check) > 5
    again()
    with pytest.raises(FailedPrecondition, match="is of move unknown"):
        incoming.adopt(view, FLIPPED)
    assert not incoming.adopt(view, RECORD), "no move is known: the leader has it removed"
    check()


def test_a_copy_is_put_in_its_place_only_by_the_move_that_completed_it(view: DriveView) -> None:
    """A registry that is older than the copy, or the copy of a move that was taken back, would lose what came after."""
    make_copy(view)
    assert FLIPPED.moving is not None
    for record in (RECORD, replace(FLIPPED, moving=replace(FLIPPED.moving, id="b" * 16))):
        with pytest.raises(FailedPrecondition, match=f"is of move {MOVE}, and the registry knows of"):
            incoming.adopt(view, record)
    copying = replace(FLIPPED, moving=replace(FLIPPED.moving, phase=MovePhase.COPYING))
    with pytest.raises(FailedPrecondition, match=f"is of move {MOVE}, and the registry knows of none"):
        incoming.adopt(view, copying)
    assert not incoming.adopt(view, replace(RECORD, incarnation="cd")), "it is of another volume"
    assert [path.parent.parent.name for path in places(view)] == ["incoming"]


def test_a_source_that_is_sealed_and_unsealed(host: Host, facts: DeviceFacts, view: DriveView) -> None:
    def sealed() -> None:
        incoming.seal(view, "pvc-1", MOVE, OTHER)

    def check_sealed() -> None:
        found = take_over(host, FSUUID, facts)
        assert found.volumes == {"pvc-1": RECORD}
        assert found.strays == {} or found.sealed == {"pvc-1": MOVE}
        sealed()
        found = take_over(host, FSUUID, facts)
        assert (found.sealed, found.strays) == ({"pvc-1": MOVE}, {"pvc-1": OTHER})

    def unsealed() -> None:
        incoming.unseal(view, "pvc-1", MOVE)

    def check_unsealed() -> None:
        found = take_over(host, FSUUID, facts)
        assert found.strays == {} or found.sealed == {"pvc-1": MOVE}
        unsealed()
        found = take_over(host, FSUUID, facts)
        assert found.sealed == found.strays == {}
        assert (Path(view.path) / "pvc-1/file").read_text() == "data"

    def make_sealed() -> None:
        make_volume(view)
        sealed()

    assert every_crash(lambda: make_volume(view), sealed, check_sealed) > 2
    assert every_crash(make_sealed, unsealed, check_unsealed) > 1


def test_a_seal_of_another_move_stays(view: DriveView) -> None:
    make_volume(view)
    incoming.seal(view, "pvc-1", MOVE, OTHER)

    incoming.unseal(view, "pvc-1", "fedcba9876543210")

    assert os.readlink(Path(view.path) / ".directpv/sealed/pvc-1") == MOVE


def test_a_source_that_was_moved_away_is_never_made_anew(host: Host, facts: DeviceFacts, view: DriveView) -> None:
    def make() -> None:
        make_volume(view)
        incoming.seal(view, "pvc-1", MOVE, OTHER)

    def work() -> None:
        remains.retire(view, "pvc-1", OTHER)

    def check() -> None:
        found = take_over(host, FSUUID, facts)
        if "pvc-1" in found.volumes:
            assert found.sealed == {"pvc-1": MOVE}
        work()
        outcome = volume_dirs.prepare(view, [RECORD], {}, frozenset())
        assert not isinstance(outcome["pvc-1"], int)
        assert not (Path(view.path) / "pvc-1").exists()

    assert every_crash(make, work, check) > 5


def test_a_copy_that_is_removed(view: DriveView) -> None:
    def work() -> None:
        assert incoming.drop_some(view, "pvc-1", 60, {}, MOVE)

    def check() -> None:
        copy = incoming.found(view, "pvc-1")
        assert copy is None or (copy.move, copy.incarnation) in (("", ""), (MOVE, "ab"))
        work()
        assert places(view) == []
        made = volume_dirs.prepare(view, [RECORD], {}, frozenset())
        assert isinstance(made["pvc-1"], int)

    assert every_crash(lambda: make_copy(view), work, check) > 3
