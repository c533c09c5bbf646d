"""The light of a bay is found and switched where the kernel shows it; trees as its drivers make them, in a folder."""

from pathlib import Path

import pytest

from directpv_common.protocol.errors import DriveFault, FailedPrecondition
from directpv_nodeagent.devices import lights
from directpv_nodeagent.devices.sysfs import Roots

PORT = "10000:02:05.0"


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    for folder in ("sys/class/block", "sys/class/leds", "sys/devices", "udev"):
        (tmp_path / folder).mkdir(parents=True)
    return Roots(sys=tmp_path / "sys", udev=tmp_path / "udev", proc=tmp_path / "proc", dev=tmp_path / "dev")


def disk(roots: Roots, name: str, below: str, *parts: str) -> Path:
    """Make a disk with partitions below a device; return its folder."""
    folder = roots.sys / "devices" / below / "block" / name
    for number, part in enumerate(("", *parts)):
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / "dev").write_text(f"8:{number}\n")
        (roots.sys / "class/block" / (part or name)).symlink_to(folder / part)
        if part:
            (folder / part / "partition").write_text(f"{number}\n")
    (folder / "device").symlink_to(roots.sys / "devices" / below)
    return folder


def in_enclosure(roots: Roots, below: str, slot: str, lit: str = "0") -> Path:
    """Put a SCSI device into a slot, as the module ses does; return the file of its light."""
    component = roots.sys / "devices" / "enclosure" / slot
    component.mkdir(parents=True)
    (component / "locate").write_text(f"{lit}\n")
    (roots.sys / "devices" / below / f"enclosure_device:{slot}").symlink_to(component)
    return component / "locate"


def led(roots: Roots, port: str) -> Path:
    """Give a PCI port a light, as Linux does from 6.13 on; return its file."""
    file = roots.sys / "class/leds" / f"{port}:enclosure:locate" / "brightness"
    file.parent.mkdir()
    file.write_text("0\n")
    return file


@pytest.mark.parametrize("name", ["sda", "sda1"])
def test_the_light_of_a_disk_in_an_enclosure_is_that_of_its_slot(roots: Roots, name: str) -> None:
    disk(roots, "sda", "host0/target0:0:1/0:0:1:0", "sda1")
    file = in_enclosure(roots, "host0/target0:0:1/0:0:1:0", "Slot 03")
    light = lights.find(roots, name)
    assert (light.bay, light.is_on()) == ("Slot 03", False)
    light.switch(on=True)
    assert (file.read_text(), light.is_on()) == ("1", True)
    light.switch(on=False)
    assert (file.read_text(), light.is_on()) == ("0", False)


def test_the_light_of_an_nvme_disk_is_that_of_the_nearest_port_above_it(roots: Roots) -> None:
    disk(roots, "nvme0n1", f"pci10000:00/10000:00:02.0/{PORT}/10000:03:00.0/nvme/nvme0")
    switch, near, other = led(roots, "10000:00:02.0"), led(roots, PORT), led(roots, "10000:02:06.0")
    light = lights.find(roots, "nvme0n1")
    light.switch(on=True)
    assert light.bay == PORT
    assert [file.read_text() for file in (switch, near, other)] == ["0\n", "1", "0\n"]


@pytest.mark.parametrize(("serial", "says"), [("S64GNE0R", "serial number S64GNE0R"), ("", "Look for the disk")])
def test_where_the_kernel_shows_no_light_it_is_said_what_would_and_which_disk_to_look_for(
    roots: Roots, serial: str, says: str
) -> None:
    disk(roots, "sda", "host0/target0:0:1/0:0:1:0")
    led(roots, PORT)
    (roots.udev / "b8:0").write_text(f"E:ID_SERIAL_SHORT={serial}\n" if serial else "")
    with pytest.raises(FailedPrecondition, match=f"no locate light for sda: .*module ses.*{says}"):
        lights.find(roots, "sda")


def test_an_enclosure_that_takes_the_order_and_does_nothing_is_told(roots: Roots) -> None:
    disk(roots, "sda", "host0/target0:0:1/0:0:1:0")
    file = in_enclosure(roots, "host0/target0:0:1/0:0:1:0", "Slot 03")
    file.unlink()
    file.symlink_to("/dev/null")
    with pytest.raises(DriveFault, match="Slot 03 and did not carry it out"):
        lights.find(roots, "sda").switch(on=True)


def test_an_enclosure_that_refuses_is_told_with_the_kernels_words(roots: Roots) -> None:
    disk(roots, "sda", "host0/target0:0:1/0:0:1:0")
    file = in_enclosure(roots, "host0/target0:0:1/0:0:1:0", "Slot 03")
    file.unlink()
    file.symlink_to("/dev/full")
    with pytest.raises(DriveFault, match="bay Slot 03 cannot be switched: No space left on device"):
        lights.find(roots, "sda").switch(on=True)
