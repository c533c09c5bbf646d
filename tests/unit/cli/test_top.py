"""What nodes sample becomes rates and shares; one sample has no rate yet."""

import uuid

import directpv_common.protocol.messages as m
from directpv_cli.commands.looking.top import Samples

FIRST, SECOND = (str(uuid.UUID(int=number)) for number in (1, 2))
RECORDS = {FIRST: m.DriveRecord(fsuuid=FIRST, node="n1", device="sda", total=1, overhead=0)}


def sample(second: int, read: int = 0, busy: float = 0.0, used: int = 0, waited: float = 0.0) -> m.NodeMetrics:
    drives = (
        m.DriveMetrics(
            fsuuid=FIRST,
            ready=True,
            read_bytes=read,
            read_seconds=busy,
            wait_seconds=waited,
            temperature_celsius=40,
        ),
        m.DriveMetrics(fsuuid=SECOND, ready=True),
    )
    volumes = (
        m.VolumeMetrics(name="pvc-1", fsuuid=FIRST, total=100, used=used),
        m.VolumeMetrics(name="pvc-2", fsuuid=FIRST, total=100, used=50),
    )
    return m.NodeMetrics(node="n1", time=f"2026-11-30T00:00:{second:02}Z", drives=drives, volumes=volumes)


def test_rates_come_with_the_second_sample_and_the_busiest_drive_stands_first() -> None:
    samples = Samples()
    samples.take(sample(0, waited=900))
    assert [row[3:7] for row in samples.drive_cells(RECORDS)] == [["", "", "", ""]] * 2

    samples.take(sample(10, read=20 << 20, busy=2.5, waited=915))
    samples.take(sample(10, read=20 << 20, busy=2.5, waited=915))  # a part that comes twice is no third sample
    first, second = samples.drive_cells(RECORDS)
    assert first[:7] == [FIRST, "n1", "sda", "2 MiB/s", "0 B/s", "25%", "1.5"]
    assert first[7] == "40 °C"
    assert second[:3] == [SECOND, "", ""]


def test_the_fullest_volume_stands_first_with_its_claim() -> None:
    samples = Samples()
    samples.take(sample(0, used=99))
    assert list(samples.volume_cells({"pvc-1": "shop/data"})) == [
        ["pvc-1", "n1", "99 B", "100 B", "99%", "shop/data"],
        ["pvc-2", "n1", "50 B", "100 B", "50%", ""],
    ]
