"""What a repeat with other flags takes away, keeps, and tells of."""

import contextlib
import urllib.error

import pytest

from directpv_cli.install.objects.paths import Ref
from support.kube.apiserver import ApiServer

from .conftest import Plugin
from .test_install import live

pytestmark = pytest.mark.timeout(240)
OWN_NATS = "--nats-url=nats://nats.example:4222"
NATS = [Ref(kind, "nats") for kind in ("StatefulSet", "Service", "ConfigMap", "PodDisruptionBudget", "NetworkPolicy")]
NATS += [Ref("Service", "nats-headless"), Ref("ConfigMap", "nats-leaf"), Ref("ServiceAccount", "directpv-nats")]
SCC = [Ref("RoleBinding", f"directpv-{name}-scc") for name in ("node", "controller", "nats")]


def there(server: ApiServer, refs: list[Ref]) -> list[Ref]:
    found = []
    for ref in refs:
        with contextlib.suppress(urllib.error.HTTPError):
            live(server, ref)
            found.append(ref)
    return found


def test_what_the_new_flags_do_not_install_goes(apiserver: ApiServer, plugin: Plugin) -> None:
    assert plugin("install", "--openshift").returncode == 0
    assert there(apiserver, NATS + SCC) == NATS + SCC
    done = plugin("install")
    assert done.returncode == 0, done.stderr
    assert there(apiserver, NATS + SCC) == NATS
    assert "removed RoleBinding directpv-node-scc" in done.stderr
    done = plugin("install", OWN_NATS)
    assert done.returncode == 0, done.stderr
    assert there(apiserver, NATS + SCC) == []


def test_objects_of_others_with_such_names_stay(apiserver: ApiServer, plugin: Plugin) -> None:
    assert plugin("install", OWN_NATS).returncode == 0
    apiserver.kubectl("create", "configmap", "nats", "--namespace=directpv")
    assert plugin("install", OWN_NATS).returncode == 0
    assert there(apiserver, NATS) == [Ref("ConfigMap", "nats")]


def test_nothing_goes_while_something_could_not_be_installed(apiserver: ApiServer, plugin: Plugin) -> None:
    assert plugin("install").returncode == 0
    apiserver.kubectl("delete", "clusterrolebinding", "directpv-controller")
    apiserver.kubectl("create", "clusterrolebinding", "directpv-controller", "--clusterrole=view")
    done = plugin("install", OWN_NATS)
    assert done.returncode == 1
    assert "delete ClusterRoleBinding directpv-controller and repeat" in done.stderr
    assert there(apiserver, NATS) == NATS


def test_flags_that_are_not_repeated_are_told(plugin: Plugin) -> None:
    flags = ("--tolerations=storage=only:NoSchedule", "--node-selector=a=b,c=d", "--init-requests=off")
    done = plugin("install", *flags)
    assert "not repeated" not in done.stderr, done.stderr
    done = plugin("install", "--init-requests=off", KUBELET_DIR_PATH="/data/kubelet")
    told = "no longer in effect: --node-selector=a=b,c=d --tolerations=storage=only:NoSchedule"
    assert told in " ".join(done.stderr.split())
    done = plugin("install", "--init-requests=off")
    assert "no longer in effect: KUBELET_DIR_PATH=/data/kubelet" in " ".join(done.stderr.split())
    done = plugin("install", "--init-requests=off")
    assert "not repeated" not in done.stderr
