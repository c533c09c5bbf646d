"""What a look at a drive changes, whenever it began."""

from typing import Any

import pytest

from directpv_common.protocol.messages import DriveRecord, DriveStatus
from directpv_nodeagent.drives.core.states import Observation
from directpv_nodeagent.drives.taken.drives import Drives
from directpv_nodeagent.layout.core.held import Drive
from directpv_nodeagent.layout.core.view import Contents, DriveView

FSUUID = "11111111-2222-3333-4444-555555555555"


@pytest.mark.parametrize("seen", [Observation.PRESENT_MOUNTED, Observation.READ_ONLY])
def test_a_look_that_began_before_a_repair_says_nothing_of_the_drive_now(seen: Observation) -> None:
    nothing: Any = None
    drives = Drives(nothing, nothing, nothing, nothing, lambda *_, **__: None)
    record = DriveRecord(fsuuid=FSUUID, node="n1", total=1 << 30, overhead=0)
    view = DriveView("/root", FSUUID, "8:0", "sda", True)
    drive = Drive(Contents(view, record, {}, {}, {}, {}))
    drive.set_state(DriveStatus.REPAIRING, (), readable=False)

    drives.observe(FSUUID, drive, seen, "")
    assert (drive.record.status, drive.readable) == (DriveStatus.REPAIRING, False)
