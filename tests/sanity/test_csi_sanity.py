"""The official conformance suite, csi-sanity, against a running stack."""

from pathlib import Path

import pytest

from sanity import csi_sanity
from support.cluster import cluster, settled

pytestmark = pytest.mark.timeout(900)


async def test_every_spec_that_our_capabilities_enable_passes(tmp_path):
    program = await csi_sanity.build()
    with cluster(nodes=1, drives=4) as running:
        await running.initialise()
        work = running.stack.directory / "sanity"
        work.mkdir()
        outcome = await csi_sanity.run(program, csi_sanity.Settings(socket=Path(running.socket), work=work), within=600)
        async with running.bus() as bus:
            _, volumes = await settled(running, bus)
    reasons = csi_sanity.expected_skips()
    print(f"csi-sanity: {len(outcome.passed)} passed, {len(outcome.failed)} failed, {len(outcome.skipped)} skipped")
    for name in sorted(outcome.skipped):
        print(f"  skipped: {name}: {reasons.get(name, 'NOT EXPECTED: ' + outcome.skipped[name])}")

    assert outcome.failed == {}
    assert outcome.skipped.keys() == reasons.keys()
    assert len(outcome.passed) > len(reasons) // 2
    assert volumes == []
