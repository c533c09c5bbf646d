"""The context that the plugin writes for the nats CLI, which is not here: what it says is used instead."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import directpv_common.protocol.messages as m
from directpv_cli.install.objects.base import NAMESPACE
from directpv_common.bus.connecting import connect_bus
from directpv_common.bus.trust import Trust
from directpv_common.protocol.api import Controller
from directpv_common.protocol.errors import Refused
from integration.kubernetes_admission.test_authority import published
from integration.kubernetes_admission.test_nodes import heard_by
from integration.kubernetes_admission.world import SUBJECTS, World
from support.kube.apiserver import ApiServer


@pytest.fixture
def installed(apiserver: ApiServer, tmp_path: Path) -> Iterator[World]:
    with World(apiserver, NAMESPACE, tmp_path) as made:
        yield made


async def test_the_context_of_a_cluster_lets_an_observer_in_who_hears_and_commands_nothing(
    installed: World, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "PATH": f"{installed.server.programs}:{os.environ['PATH']}",
        "XDG_CONFIG_HOME": str(tmp_path),
        "KUBECONFIG": str(installed.server.admin),
    }
    async with published(installed) as authority:
        await authority.publish()
    command = [sys.executable, "-m", "directpv_cli", "nats-context", f"--port={installed.hub.port}"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    path = tmp_path / "nats" / "context" / "directpv-cluster.json"
    assert path.stat().st_mode & 0o077 == 0
    context = json.loads(path.read_text())
    there = connect_bus(
        context["url"],
        name="nats",
        prefix=SUBJECTS.prefix,
        token=context["token"],
        inbox=context["inbox_prefix"],
        within=20,
        trust=Trust(Path(context["ca"]).read_text()),
    )
    assert context["url"].startswith("tls://")
    async with installed.controller(), installed.root() as root, there as bus:
        assert await heard_by(bus, root, SUBJECTS.state("n1"))
        with pytest.raises(Refused):
            await bus.call(Controller.DRIVE_LIST, m.ListDrives(), within=5)
