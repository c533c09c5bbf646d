"""What nodes sample becomes curves of bounded length; what nobody knows is said, not drawn as zero."""

from datetime import UTC, datetime, timedelta

import directpv_common.protocol.messages as m
from directpv_cli.console.core.history import KEPT, History, charts
from unit.cli.console.making import fsuuid

BEGIN = datetime(2026, 11, 30, tzinfo=UTC)


def sample(second: int, **facts: object) -> m.NodeMetrics:
    time = (BEGIN + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")
    return m.NodeMetrics(
        node="n1",
        time=time,
        drives=(m.DriveMetrics(fsuuid=fsuuid(1), ready=True, **facts),),  # type: ignore[arg-type]
        volumes=(m.VolumeMetrics(name="pvc-1", fsuuid=fsuuid(1), total=100, used=second),),
    )


def test_two_samples_make_a_point_of_rates_latency_and_temperature() -> None:
    history = History()
    history.take(sample(0, temperature_celsius=40))
    assert history.points(fsuuid(1)) == []
    history.take(sample(10, read_bytes=20 << 20, reads=100, read_seconds=0.5, temperature_celsius=41))
    history.take(sample(10, read_bytes=99 << 20))  # a part that comes twice
    (point,) = history.points(fsuuid(1))
    assert (point.seconds, point.read, point.write, point.celsius) == (10, 2 << 20, 0, 41)
    assert round(point.latency, 6) == 0.005
    assert history.volumes["pvc-1"].used == 10
    assert history.disks[fsuuid(1)].temperature_celsius == 41


def test_what_is_not_known_is_said_so_and_not_drawn() -> None:
    history = History()
    for second in (0, 10, 20):
        history.take(sample(second, read_bytes=second << 20))
    throughput, latency, temperature = charts(history.points(fsuuid(1)))
    assert throughput.said == "Throughput: read 1 MiB/s now, 1 MiB/s at most; written 0 B/s now, 0 B/s at most"
    assert throughput.curves[0].points == "0.0,2.0 240.0,2.0"
    assert [curve.points for curve in (*latency.curves, *temperature.curves)] == ["", ""]
    assert "not known" in latency.said
    assert (
        charts([])[0].said
        == "Throughput: read not known now, not known at most; written not known now, not known at most"
    )


def test_counters_that_began_anew_are_no_load() -> None:
    history = History()
    history.take(sample(0, read_bytes=1 << 30, write_bytes=1 << 30, reads=9))
    history.take(sample(10, read_bytes=5, write_bytes=5, reads=1))
    (point,) = history.points(fsuuid(1))
    assert (point.read, point.write) == (0, 0)
    assert point.latency != point.latency


def test_a_track_is_no_longer_than_an_hour_and_what_is_gone_is_forgotten() -> None:
    history = History()
    for number in range(KEPT + 50):
        history.take(sample(15 * number))
    points = history.points(fsuuid(1))
    assert (len(points), points[-1].seconds) == (KEPT, 15 * (KEPT + 49))
    history.forget({}, {})
    assert (history.points(fsuuid(1)), history.disks, history.volumes) == ([], {}, {})
