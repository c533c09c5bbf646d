"""Which devices are remembered as copies of a drive that is mounted."""

from pathlib import Path

from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.drives.taken import copies

FSUUID = "00000000-0000-4000-8000-000000000000"


def device(name: str, appearance: str, *holders: str) -> DeviceFacts:
    return DeviceFacts(name, f"8:{appearance}", appearance=appearance, holders=holders)


def test_a_copy_is_known_as_one_until_it_appears_anew(tmp_path: Path) -> None:
    mounted, copy = device("sda", "1"), device("sdb", "2")
    copies.note(str(tmp_path), FSUUID, mounted, [copy])

    assert copies.without(str(tmp_path), FSUUID, [mounted, copy]) == [mounted]
    assert copies.without(str(tmp_path), FSUUID, [device("sdb", "3")]) == [device("sdb", "3")]


def test_what_shows_the_bytes_of_the_mounted_device_is_no_copy_of_it(tmp_path: Path) -> None:
    mounted = device("dm-0", "1", "dm-1")
    same = [device("dm-1", "2"), device("sda", "3", "dm-0")]
    copies.note(str(tmp_path), FSUUID, mounted, same)

    assert copies.without(str(tmp_path), FSUUID, same) == same
