"""What disks say of their health reaches metrics, events and volumes; a disk that expects to fail goes on serving."""

import asyncio
import urllib.request
from pathlib import Path

import pytest
from nats.aio.msg import Msg
from prometheus_client.parser import text_string_to_metric_families

from directpv_common.bus.bus import Bus
from directpv_common.protocol.messages import ConditionType, DriveMetrics, DriveStatus, NodeMetrics
from directpv_common.protocol.wire import decode
from support.guest import nvme
from support.guest.lab import Lab, Tap
from support.guest.node import Node, Pod
from support.guest.qemu import Qemu
from support.guest.uml import make_disk
from support.node_client import eventually

pytestmark = pytest.mark.timeout(240)

METRICS_PORT = 10443
HEALTH = {
    "temperature_celsius",
    "media_errors_total",
    "wear_ratio",
    "spare_ratio",
    "power_on_seconds_total",
    "failure_predicted",
}
UNRELIABLE = 4
"""Critical warning of NVMe: the subsystem is degraded."""


async def figures(node: Node) -> dict[tuple[str, str], float]:
    """What Prometheus would take from the agent: values of drives by name, without prefix, and by drive."""
    url = f"http://{node.hand.address}:{METRICS_PORT}/metrics"
    text = await asyncio.to_thread(lambda: urllib.request.urlopen(url, timeout=10).read().decode())
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {
        (s.name.removeprefix("directpv_drive_"), s.labels["drive"]): s.value for s in samples if "drive" in s.labels
    }


async def figure_is(node: Node, name: str, drive: str, value: float) -> None:
    async def check() -> bool:
        return (await figures(node)).get((name, drive)) == value

    await eventually(check, f"{name} of {drive} is {value}")


async def live(bus: Bus, drive: str) -> DriveMetrics:
    """The drive in the next message of the live tap that knows its temperature."""
    heard: asyncio.Queue[DriveMetrics] = asyncio.Queue()

    def hear(message: Msg) -> None:
        for each in decode(message.data, NodeMetrics).drives:
            if each.fsuuid == drive and each.temperature_celsius is not None:
                heard.put_nowait(each)

    unsubscribe = await bus.subscribe(bus.subjects.metrics("*"), hear)
    try:
        async with asyncio.timeout(20):
            return await heard.get()
    finally:
        await unsubscribe()


@pytest.mark.long
async def test_a_disk_that_expects_to_fail_is_told_of_until_it_is_well_again_and_goes_on_serving(
    lab: Lab, tap: Tap, bus: Bus
) -> None:
    machine, names = await nvme.boot(lab, drives=2)
    node = await lab.node(machine, **{"health-interval": 1})
    ill, well = await nvme.init(node, *names)
    await node.client.make_volume(ill, "pvc-1")
    pod = Pod(node, "pvc-1")
    await pod.start()

    for drive in (ill, well):
        await figure_is(node, "failure_predicted", drive, 0)
    known = await figures(node)
    assert known["temperature_celsius", ill] == 50
    assert known["media_errors_total", ill] == 0
    assert ("spare_percent", ill) not in known
    told = await live(bus, ill)
    assert (told.temperature_celsius, told.spare_percent, told.failure_predicted) == (50, None, False)

    await machine.warn("NVME1", UNRELIABLE)

    warning = await tap.one("drive.warning", ill)
    assert warning["condition"] == ConditionType.FAILURE_PREDICTED
    assert "unreliable" in warning["cause"]
    assert ill in warning["advice"]
    await figure_is(node, "failure_predicted", ill, 1)
    held = await node.client.held(ill)
    assert held.record.status is DriveStatus.READY
    assert [each.type for each in held.record.conditions] == [ConditionType.FAILURE_PREDICTED]
    stats = await pod.stats()
    assert (stats.abnormal, "DriveExpectsToFail" in stats.condition, stats.total > 0) == (True, True, True)
    assert (await pod.write("still", "served")).code == 0
    assert (await figures(node))["failure_predicted", well] == 0

    await machine.warn("NVME1", 0)

    assert "unreliable" in (await tap.one("drive.warning-ended", ill))["cause"]
    await figure_is(node, "failure_predicted", ill, 0)
    assert (await node.client.held(ill)).record.conditions == ()
    assert not (await pod.stats()).abnormal
    assert tap.of("drive.warning", well) == []


def sata_and_scsi(directory: Path) -> tuple[str, ...]:
    """One disk of each kind, in the words of QEMU's command line."""
    sata, scsi = (make_disk(directory / f"{kind}.img") for kind in ("sata", "scsi"))
    return (
        "-drive", f"if=none,id=sata,file={sata},format=raw", "-device", "ide-hd,drive=sata,serial=SATA1,bus=ide.0",
        "-device", "virtio-scsi-pci,id=hba",
        "-drive", f"if=none,id=scsi,file={scsi},format=raw", "-device", "scsi-hd,drive=scsi,serial=SCSI1,bus=hba.0",
    )  # fmt: skip


async def named(machine: Qemu, vendor: str) -> str:
    """The kernel name of the SCSI or SATA disk of a vendor."""
    return await machine.hand.sh(f"basename $(dirname $(dirname $(grep -l {vendor} /sys/block/sd*/device/vendor)))")


@pytest.mark.long
async def test_disks_of_every_kind_are_asked_and_one_that_says_nothing_alarms_nobody(lab: Lab, tap: Tap) -> None:
    machine, (disk,) = await nvme.boot(lab, drives=1, devices=sata_and_scsi(lab.directory))
    await machine.hand.sh(
        f"""
        modprobe -d /run/modules dm-mod
        echo "0 $(blockdev --getsz /dev/{disk}) linear /dev/{disk} 0" | dmsetup create mapped
        """
    )
    node = await lab.node(machine, **{"health-interval": 1, "devices": "sd*,dm-*"})
    sata, scsi, mapped = await nvme.init(node, await named(machine, "ATA"), await named(machine, "QEMU"), "dm-0")

    await figure_is(node, "temperature_celsius", sata, 31)
    await figure_is(node, "power_on_seconds_total", sata, 3600)
    await figure_is(node, "failure_predicted", sata, 0)
    await figure_is(node, "failure_predicted", mapped, 0)
    assert {name for name, drive in await figures(node) if drive == scsi} >= {"capacity_bytes"}
    assert {name for name, drive in await figures(node) if drive == scsi}.isdisjoint(HEALTH)

    await machine.warn("NVME1", UNRELIABLE)

    assert (await tap.one("drive.warning", mapped))["device"] == "dm-0"
    assert tap.of("drive.warning", sata) + tap.of("drive.warning", scsi) == []

    async def told_once() -> bool:
        return (await node.log()).count("no health from disk") == 1

    await eventually(told_once, "the silent disk is told of once")
