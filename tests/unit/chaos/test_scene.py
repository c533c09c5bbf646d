"""What a log says of the drives when something is wrong."""

from chaos.kinds import Kind
from chaos.model import History, Told
from chaos.scene import in_registry, mounts, of_agent, suffered
from directpv_common.protocol.messages import (
    Condition,
    ConditionType,
    DriveInfo,
    DriveRecord,
    DriveStatus,
    HeldDrive,
    HeldVolume,
    VolumeRecord,
)

DRIVE = "335cb96d-8ebd-4cd1-99e8-fb7fa59a3bd5"
TABLE = f"""\
22 1 0:20 / / rw - hostfs root rw
40 22 8:16 / /var/lib/directpv/mnt/{DRIVE} rw,noatime - xfs /dev/sdb rw,prjquota
41 22 8:16 /pvc-0001 /var/lib/kubelet/pods/pvc-0001/mount rw,noatime - xfs /dev/sdb rw,prjquota
42 22 8:32 / /var/lib/directpv/mnt/another rw,noatime - xfs /dev/sdc rw,prjquota
43 22 0:50 / /var/lib/directpv/mnt/{DRIVE} ro - tmpfs cover ro
"""
LOST = DriveRecord(
    fsuuid=DRIVE,
    node="n2",
    total=600,
    overhead=0,
    status=DriveStatus.LOST,
    conditions=(Condition(type=ConditionType.IO_ERROR, message="pods hold it", since="2026-01-01T00:00:00Z"),),
)


def test_the_registry_and_the_agent_say_status_device_volumes_and_conditions_or_that_they_know_nothing() -> None:
    info = DriveInfo(record=LOST, free=600, allocated=0, volumes=3, online=False)
    said = in_registry(info)
    assert all(word in said for word in ("Lost", "no device of n2", "offline", "volumes: 3", "IOError", "pods hold it"))
    volume = HeldVolume(record=VolumeRecord(name="pvc-0001", fsuuid=DRIVE, capacity=1))
    said = of_agent(Told(10.0, HeldDrive(record=LOST, generation=7, readable=False, volumes=(volume,))), 14.5)
    assert all(word in said for word in ("4.5 s ago", "Lost", "not readable", "generation 7", "pvc-0001", "IOError"))
    assert (in_registry(None), of_agent(None, 0.0)) == ("unknown", "never told")


def test_mounts_of_a_drive_are_told_with_those_of_its_volumes_and_without_others() -> None:
    said = mounts(TABLE, DRIVE, "sdb")
    assert said.count("(xfs of /dev/sdb)") == 2
    assert "(tmpfs of cover)" in said
    assert "/pods/pvc-0001/mount" in said
    assert "another" not in said
    assert mounts(TABLE, "no such drive", "sdz") == "none"


def test_a_machine_without_answer_is_not_one_without_mounts() -> None:
    assert mounts("no answer: TimeoutError()", DRIVE, "sdb") == "no answer: TimeoutError()"


def test_what_a_drive_suffered_is_told_with_its_times() -> None:
    history = History()
    history.begin(DRIVE, Kind.POWER, 120.0).end(130.0)
    history.begin(DRIVE, Kind.HANG, 140.0)
    assert suffered(history.faults(DRIVE), 100.0) == "power-cut 20.0 to 30.0 s, hang 40.0 to now"
    assert suffered(history.faults("another"), 100.0) == "nothing happened"
