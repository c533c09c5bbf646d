"""What controllers do while rights, definitions or certificates are not as they should be, and once they are again."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from directpv_common.bus.bus import Bus
from integration.controller.harness import until
from integration.kubernetes_registry.harness import (
    DRIVES,
    Cluster,
    Objects,
    create,
    define,
    installation,
    leads,
    upstream_drive,
)
from integration.kubernetes_registry.test_rights import CLUSTER_RULES, PODS, grant
from support.kube.apiserver import ApiServer
from support.kube.fixtures import api_server
from support.kube.kubeconfig import Endpoint
from support.kube.pki import Pki
from support.kube.process import Program
from support.nats import NatsServer

pytestmark = pytest.mark.timeout(240)

ONE = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f30"


def restrict(cluster: Cluster, *rules: object) -> None:
    """Leave these rights to the controllers' account."""
    kind, name = "clusterroles", f"controller-{cluster.namespace}"
    cluster.objects.change(f"/apis/rbac.authorization.k8s.io/v1/{kind}", name, lambda role: role.update(rules=[*rules]))


async def test_a_leader_that_may_not_read_the_registry_resigns_and_leads_when_it_may(
    cluster: Cluster, bus: Bus
) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive(ONE))
    config = grant(cluster, PODS)
    restrict(cluster, CLUSTER_RULES[-1])
    controller = cluster.controller(kubeconfig=config)
    await until(lambda: controller.log.read_text().count("leading no longer") > 1, "it tries again")
    assert controller.said("forbidden")
    restrict(cluster, *CLUSTER_RULES, PODS)
    await leads(controller)
    assert (await create(bus, "pvc-1")).record.fsuuid == ONE


@pytest.fixture(scope="module")
def alone() -> Iterator[ApiServer]:
    """An API server of this module alone, for what would disturb the tests of others."""
    with api_server() as server:
        define(server)
        yield server


@pytest.fixture
def own(alone: ApiServer, nats: NatsServer, tmp_path: Path) -> Iterator[Cluster]:
    with installation(alone, nats, tmp_path) as cluster:
        yield cluster


def with_new_certificates(server: ApiServer) -> Objects:
    """Give a server that is not running a new authority, and new certificates by it; return who may do everything."""
    server.pki = Pki(server.directory / "pki-2")
    server.endpoint = Endpoint(server.endpoint.url, server.pki.authority.certificate)
    for kept in ("_trust", "_administrator", "admin"):
        vars(server).pop(kept, None)
    server.process = Program("kube-apiserver", server._command("127.0.0.1"), server.process.log)
    return Objects(server)


async def test_without_the_definition_of_volumes_nobody_leads_until_it_is_back(own: Cluster, bus: Bus) -> None:
    own.server.kubectl("delete", "crd", "directpvvolumes.directpv.min.io")
    controller = own.controller()
    await until(lambda: controller.said("leading no longer"), "it resigns")
    define(own.server)
    await leads(controller)


async def test_a_standby_leads_with_the_definitions_that_are_there_now(own: Cluster, bus: Bus) -> None:
    first = own.controller("c1")
    await leads(first)
    second = own.controller("c2")
    await until(lambda: second.said("standing by"), "the second stands by")
    own.server.kubectl("delete", "crd", "directpvdrives.directpv.min.io")
    define(own.server)
    first.kill()
    await leads(second)
    uid = own.server.kubectl("get", "crd", "directpvdrives.directpv.min.io", "--output=jsonpath={.metadata.uid}")
    assert second.said(f'"registry":"{uid}"')


async def test_a_standby_leads_after_the_authority_of_all_certificates_was_replaced(own: Cluster, bus: Bus) -> None:
    own.objects.call("POST", DRIVES, upstream_drive(ONE))
    config = own.directory / "kubeconfig"
    config.write_bytes(own.server.admin.read_bytes())
    first = own.controller("c1", kubeconfig=config)
    await leads(first)
    second = own.controller("c2", kubeconfig=config)
    await until(lambda: second.said("standing by"), "the second stands by")
    own.server.process.kill()
    first.kill()
    config.write_text("")
    own.objects = with_new_certificates(own.server)
    await asyncio.to_thread(own.server.start_server)
    await until(lambda: second.said("kubeconfig"), "it looks into the file, which somebody is writing")
    config.write_bytes(own.server.admin.read_bytes())
    await leads(second)
    assert (await create(bus, "pvc-1")).record.fsuuid == ONE


async def test_a_lease_of_a_fraction_of_a_second_is_refused(cluster: Cluster) -> None:
    controller = cluster.controller(lease_seconds=2.5)
    await until(lambda: controller.popen.poll() == 1, "it ends")
    assert controller.said("lease-seconds is 2.5, but a Lease of Kubernetes lasts whole seconds")
