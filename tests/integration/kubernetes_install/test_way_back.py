"""Back to upstream's v4.1.6: what its installer makes meets nothing of ours, and finds all records as they were.

Its program cannot be had here; its objects are laid out by hand, and made as it makes them: what is there already
counts as made, and is never changed.
"""

import json
from typing import Any

import pytest

from integration.kubernetes_registry.harness import Objects, upstream_drive, upstream_volume
from support.kube.apiserver import ApiServer

from . import upstream
from .conftest import Plugin
from .test_takeover import put

pytestmark = pytest.mark.timeout(240)
GIB = 1024**3
GROUP = "/apis/directpv.min.io/v1beta1"
DRIVE = "6a7a8d5c-0000-4000-8000-000000000001"
UPSTREAM = "kubectl-directpv_4.1.6_linux_amd64"


def install_upstream(server: ApiServer) -> list[str]:
    """Make what upstream's installer makes; return what it would have found and left as it is."""
    found = []
    for item in upstream.objects():
        done = server.attempt("create", f"--field-manager={UPSTREAM}", "-f", "-", input=json.dumps(item))
        if "AlreadyExists" in done.stderr:
            found.append(f"{item['kind']}/{item['metadata']['name']}")
        else:
            assert done.returncode == 0, done.stderr
    return found


def records(server: ApiServer) -> dict[str, Any]:
    """Return drives, volumes and their definitions, with the versions that each change would count up."""
    kinds = ("directpvdrives", "directpvvolumes", "customresourcedefinitions")
    found = {kind: server.objects(kind) for kind in kinds}
    return {
        f"{kind}/{each['metadata']['name']}": (each["metadata"]["resourceVersion"], each.get("status"))
        for kind, items in found.items()
        for each in items
        if kind != "customresourcedefinitions" or each["spec"]["group"] == "directpv.min.io"
    }


def test_after_a_switch_and_uninstall_v4_installs_all_of_its_own_and_finds_its_records(
    apiserver: ApiServer, plugin: Plugin
) -> None:
    put(apiserver, upstream.objects(), UPSTREAM)
    done = plugin("install")
    assert done.returncode == 0, done.stderr
    objects = Objects(apiserver)
    objects.call("POST", f"{GROUP}/directpvdrives", upstream_drive(DRIVE, "n1", "pvc-1", free=89 * GIB))
    objects.call("POST", f"{GROUP}/directpvvolumes", upstream_volume("pvc-1", DRIVE, 10 * GIB))
    before = records(apiserver)
    assert len(before) == 6

    done = plugin("uninstall")
    assert done.returncode == 0, done.stderr
    assert records(apiserver) == before, "nothing of a record is touched"
    assert install_upstream(apiserver) == [], "nothing of ours is in the way"

    for kind, name in (("daemonset", "node-server"), ("deployment", "controller")):
        (live,) = apiserver.objects(kind, "-n", "directpv", f"--field-selector=metadata.name={name}")
        containers = {each["image"] for each in live["spec"]["template"]["spec"]["containers"]}
        assert containers == {"old:1"}, f"{name} is upstream's alone"
    (driver,) = (each for each in apiserver.objects("csidrivers") if each["metadata"]["name"] == "directpv-min-io")
    assert driver["spec"]["volumeLifecycleModes"] == ["Persistent", "Ephemeral"]
    assert apiserver.objects("statefulsets", "-n", "directpv") == []
    assert records(apiserver) == before


def test_without_uninstall_v4s_installer_would_leave_all_of_ours_as_it_is(apiserver: ApiServer, plugin: Plugin) -> None:
    """Why the way back begins with it."""
    done = plugin("install")
    assert done.returncode == 0, done.stderr
    left = install_upstream(apiserver)
    assert {"DaemonSet/node-server", "Deployment/controller", "CSIDriver/directpv-min-io"} <= set(left)
