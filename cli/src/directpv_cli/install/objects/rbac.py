"""Who may do what: an account per component, each with no more than its programs call.

Only the controller's pods speak to the API server. What they may do is the union of what csi-provisioner, csi-resizer
and our controller call: no Secrets are among it, and no changes to definitions of resources. Node and NATS pods have
accounts without a single right, and no token.

Source: the RBAC examples that external-provisioner and external-resizer ship, without what belongs to features that the
driver does not offer (snapshots, attachment, in-use errors of expansion).
"""

from collections.abc import Sequence
from typing import Final

from directpv_cli.install.objects.base import NAMESPACE, Object, metadata
from directpv_common.protocol.names import ADMINISTRATOR_ACCOUNT, BUS_CA, GROUP, OBSERVER_ACCOUNT

CONTROLLER: Final = "directpv-controller"
NODE: Final = "directpv-node"
NATS: Final = "directpv-nats"
SERVER_PODS: Final = ("nats-0", "nats-1", "nats-2")
DEFINITION: Final = f"directpvdrives.{GROUP}"
"""The one definition that the controller looks at: its uid tells this registry from one that was deleted."""
PRIVILEGED_SCC: Final = "system:openshift:scc:privileged"
NON_ROOT_SCC: Final = "system:openshift:scc:nonroot-v2"

_READ: Final = ("get", "list", "watch")
_API: Final = "rbac.authorization.k8s.io"


def _rule(group: str, resources: Sequence[str], verbs: Sequence[str]) -> Object:
    return {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}


def cluster_rules(*, guard: bool = True) -> list[Object]:
    """Return what the controller's pods may do in the whole cluster.

    Pods of any namespace use volumes, and their labels go onto these: the controller gets the metadata of one pod that
    a node names. It cannot list pods. csi-provisioner gets the pod that it runs in, to own its CSIStorageCapacities.

    ``guard``: they guard the bus, and ask whose tokens they are that are shown there.
    """
    review = [_rule("authentication.k8s.io", ["tokenreviews"], ["create"])] if guard else []
    return [
        _rule("", ["persistentvolumes"], [*_READ, "create", "patch", "delete"]),
        _rule("", ["persistentvolumeclaims"], [*_READ, "update"]),
        _rule("", ["persistentvolumeclaims/status"], ["patch"]),
        _rule("", ["nodes"], _READ),
        _rule("", ["pods"], ["get"]),
        _rule("", ["events"], ["list", "watch", "create", "update", "patch"]),
        _rule("storage.k8s.io", ["storageclasses", "csinodes", "volumeattributesclasses"], _READ),
        _rule(
            GROUP,
            ["directpvdrives", "directpvvolumes", "directpvnodes", "directpvinitrequests"],
            [*_READ, "create", "update", "patch", "delete"],
        ),
        {**_rule("apiextensions.k8s.io", ["customresourcedefinitions"], ["get"]), "resourceNames": [DEFINITION]},
        *review,
    ]


def namespace_rules(*, guard: bool = True) -> list[Object]:
    """Return what they may do in their own namespace: elect a leader, tell the scheduler of free space, guard the bus.

    ConfigMaps keep which drives were given up while their disks were away, and, for who guards the bus, the nodes'
    public keys; who guards it knows pods of the version before by their addresses.
    """
    return [
        _rule("coordination.k8s.io", ["leases"], [*_READ, "create", "update", "patch", "delete"]),
        _rule("storage.k8s.io", ["csistoragecapacities"], [*_READ, "create", "update", "patch", "delete"]),
        _rule("apps", ["replicasets"], ["get"]),
        _rule("", ["configmaps"], [*_READ, "create", "update"]),
        *([_rule("", ["pods"], ["list"])] if guard else []),
    ]


def account(name: str) -> Object:
    """Return a ServiceAccount; a pod that needs its token asks for it."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(name),
        "automountServiceAccountToken": False,
    }


def _binding(kind: str, name: str, role: str, role_kind: str, account_name: str) -> Object:
    namespace = NAMESPACE if kind == "RoleBinding" else None
    return {
        "apiVersion": f"{_API}/v1",
        "kind": kind,
        "metadata": metadata(name, namespace=namespace),
        "roleRef": {"apiGroup": _API, "kind": role_kind, "name": role},
        "subjects": [{"kind": "ServiceAccount", "name": account_name, "namespace": NAMESPACE}],
    }


def people() -> list[Object]:
    """Return accounts and roles for people: who is bound to such a Role, or may more, may have a token of its account.

    The token shows NATS what he may do; no pod runs as these accounts, and they have no rights in Kubernetes.
    """
    return [each for name in (ADMINISTRATOR_ACCOUNT, OBSERVER_ACCOUNT) for each in _person(name)]


def _person(name: str) -> list[Object]:
    """Return account and Role; ports are those of NATS' servers: behind a node's, nobody is asked who he is."""
    rules = [
        {**_rule("", ["serviceaccounts/token"], ["create"]), "resourceNames": [name]},
        {**_rule("", ["configmaps"], ["get"]), "resourceNames": [BUS_CA]},
        _rule("", ["services", "pods"], ["get", "list"]),
        {**_rule("", ["pods/portforward"], ["create"]), "resourceNames": list(SERVER_PODS)},
    ]
    role = {"apiVersion": f"{_API}/v1", "kind": "Role", "metadata": metadata(name), "rules": rules}
    return [account(name), role]


def controller_rights(*, guard: bool = True) -> list[Object]:
    """Return roles and bindings of the controller's account."""
    api = f"{_API}/v1"
    return [
        {
            "apiVersion": api,
            "kind": "ClusterRole",
            "metadata": metadata(CONTROLLER, namespace=None),
            "rules": cluster_rules(guard=guard),
        },
        _binding("ClusterRoleBinding", CONTROLLER, CONTROLLER, "ClusterRole", CONTROLLER),
        {"apiVersion": api, "kind": "Role", "metadata": metadata(CONTROLLER), "rules": namespace_rules(guard=guard)},
        _binding("RoleBinding", CONTROLLER, CONTROLLER, "Role", CONTROLLER),
    ]


def openshift_bindings(*, nats: bool) -> list[Object]:
    """Let OpenShift admit the pods: the node's mount host folders; the others run under a user id of their own."""
    others = [CONTROLLER, NATS] if nats else [CONTROLLER]
    return [
        _binding("RoleBinding", f"{NODE}-scc", PRIVILEGED_SCC, "ClusterRole", NODE),
        *(_binding("RoleBinding", f"{name}-scc", NON_ROOT_SCC, "ClusterRole", name) for name in others),
    ]
