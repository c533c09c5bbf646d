"""One trace of a volume from the CSI call to its directory on the drive, for who has an OpenTelemetry collector."""

import asyncio
from collections.abc import Iterator

import pytest

from directpv_cli.local.csi_client import creation
from directpv_common.protocol.units import MIB
from support.cluster import Cluster, cluster, eventually, in_thread
from support.collector import Collector, Span, collector

pytestmark = pytest.mark.timeout(180)
NAME = "pvc-traced"
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
def collecting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    with collector() as found:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", found.url)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "200")
        yield found


@pytest.fixture
def running(collecting: Collector) -> Iterator[Cluster]:
    with cluster(nodes=1, drives=1) as stack:
        in_thread(lambda: asyncio.run(stack.initialise()))
        yield stack


def way(spans: list[Span], last: Span) -> list[tuple[str, str]]:
    """Return services and names from the first span of a trace to this one."""
    by_id = {span.id: span for span in spans}
    found = [last]
    while found[0].parent in by_id:
        found.insert(0, by_id[found[0].parent])
    return [(span.service.removeprefix("directpv-"), span.name) for span in found]


async def test_a_volume_is_one_trace_from_the_call_to_its_directory_in_that_of_the_caller(
    running: Cluster, collecting: Collector
) -> None:
    async with running.csi() as client:
        request = creation(NAME, 16 * MIB)
        header = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        await client.controller.CreateVolume(request, metadata=header)

    async def directory() -> Span:
        found = [each for each in collecting.spans if each.name == "make directory"]
        assert {each.trace for each in found} == {TRACE}, sorted({each.name for each in collecting.spans})
        assert way(collecting.spans, found[0])[0][1] == "csi CreateVolume"
        return found[0]

    made = await eventually(directory, "the directory's span has come, and those before it")

    spans = [span for span in collecting.spans if span.trace == TRACE]
    assert way(spans, made) == [
        ("csi-gateway", "csi CreateVolume"),
        ("controller", "volume-create"),
        ("nodeagent", "make directory"),
    ]
    assert made.attributes["directpv.volume"] == NAME
    (first,) = [span for span in spans if span.name == "csi CreateVolume"]
    assert first.parent == PARENT
    assert ("controller", "commit") in [way(spans, span)[-1] for span in spans]


async def test_a_call_that_is_refused_says_why_in_its_span(running: Cluster, collecting: Collector) -> None:
    async with running.csi() as client:
        with pytest.raises(Exception, match="no drive can hold"):
            await client.controller.CreateVolume(creation("pvc-large", 10**15))

    async def refused() -> None:
        said = {span.service: span.error for span in collecting.spans if "no drive can hold" in span.error}
        assert {"directpv-csi-gateway", "directpv-controller"} <= said.keys()

    await eventually(refused, "both spans have come")
