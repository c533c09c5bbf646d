"""What an agent keeps of drives between its runs."""

from pathlib import Path

from directpv_common.protocol.messages import DriveRecord
from directpv_nodeagent.drives.taken import remembered

OLD = DriveRecord(fsuuid="ffffffff-0000-4000-8000-000000000000", node="n1", total=1 << 30, overhead=0)
NEW = DriveRecord(fsuuid="00000000-0000-4000-8000-000000000000", node="n1", total=1 << 30, overhead=0)


def test_a_disk_that_was_formatted_anew_is_remembered_as_the_drive_that_it_is(tmp_path: Path) -> None:
    remembered.note(str(tmp_path), OLD, "serial:S1")

    remembered.note(str(tmp_path), NEW, "serial:S1")

    assert remembered.disks(str(tmp_path)) == {OLD.fsuuid: "", NEW.fsuuid: "serial:S1"}
    assert remembered.recall(str(tmp_path), OLD.fsuuid) == OLD


def test_disks_that_do_not_say_which_they_are_are_remembered_each_for_itself(tmp_path: Path) -> None:
    remembered.note(str(tmp_path), OLD, "")
    remembered.note(str(tmp_path), NEW, "serial:S1")

    remembered.note(str(tmp_path), NEW, "")

    assert remembered.disks(str(tmp_path)) == {OLD.fsuuid: "", NEW.fsuuid: ""}
