"""What controllers do while rights, definitions or certificates are not as they should be, and once they are again."""

import pytest

from directpv_common.bus import Bus
from integration.controller.harness import until
from integration.kubernetes_registry.harness import DRIVES, Cluster, create, leads, upstream_drive
from integration.kubernetes_registry.test_rights import CLUSTER_RULES, PODS, grant

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
