"""What is installed, and how the choices show in it."""

from dataclasses import replace

import pytest

from directpv_cli.install.objects import manifest
from directpv_cli.install.objects.controller import controller_args
from directpv_cli.install.objects.kube_version import KubeVersion
from directpv_cli.install.objects.node import agent_args
from directpv_cli.install.objects.options import Options
from directpv_cli.install.objects.paths import PLACES, Ref
from directpv_common.process.config import load
from directpv_controller.config import Config as ControllerConfig
from directpv_csi_gateway.config import Config as GatewayConfig
from directpv_nodeagent.config import Config as AgentConfig
from unit.cli.install.builders import Object, built, containers, one, pods

# ---- wiring ----------------------------------------------------------------------------------------------------------


def flags(each: Object) -> list[str]:
    return [argument.replace("$(KUBE_NODE_NAME)", "node-1") for argument in each["args"]]


def test_services_understand_the_flags_that_they_are_given(items: list[Object]) -> None:
    found = pods(items)
    agent = load(AgentConfig, flags(containers(found["node-server"])["agent"]), {}, prog="agent")
    gateways = {
        name: load(GatewayConfig, flags(containers(found[name])["gateway"]), {}, prog="gateway")
        for name in ("node-server", "controller")
    }
    controller = load(ControllerConfig, flags(containers(found["controller"])["controller"]), {}, prog="controller")
    assert controller.registry == "kubernetes"
    assert agent.nats_url == gateways["node-server"].nats_url
    assert controller.nats_url == gateways["controller"].nats_url
    assert {each.subject_prefix for each in (agent, controller, *gateways.values())} == {"directpv.v1"}
    assert {str(name): str(each.mode) for name, each in gateways.items()} == {
        "node-server": "node",
        "controller": "controller",
    }


def test_choices_reach_the_services() -> None:
    options = replace(Options(), on_predicted_failure="cordon", init_requests="off", subject_prefix="other.v1")
    controller = load(ControllerConfig, controller_args(options), {}, prog="controller")
    assert (controller.on_predicted_failure, controller.init_requests, controller.subject_prefix) == (
        "cordon",
        "off",
        "other.v1",
    )
    assert "--subject-prefix=other.v1" in agent_args(options)


def test_what_ends_without_the_gateways_socket_starts_after_the_gateway(items: list[Object]) -> None:
    for pod in (pods(items)["node-server"], pods(items)["controller"]):
        order = [each["name"] for each in pod["spec"]["containers"]]
        sidecars = [name for name, each in containers(pod).items() if "--csi-address=/csi/csi.sock" in each["args"]]
        assert len(sidecars) == 2
        assert min(map(order.index, sidecars)) > order.index("gateway")


def test_last_words_can_be_written_where_each_program_writes_them(items: list[Object]) -> None:
    """The official sidecars know one place. It is in a folder that is the host's, read-only, in the agent alone."""
    for pod in pods(items).values():
        for each in pod["spec"]["containers"]:
            has_host_devices = any(mount["mountPath"] == "/dev" for mount in each["volumeMounts"])
            assert each["terminationMessagePath"].startswith("/dev/") is not has_host_devices


def test_no_probe_starts_a_program(items: list[Object]) -> None:
    """In a container that is starved of processor time, to start one takes longer than what it should find out."""
    probes = [
        each[kind]
        for pod in pods(items).values()
        for each in pod["spec"]["containers"]
        for kind in ("livenessProbe", "readinessProbe", "startupProbe")
        if kind in each
    ]
    assert len(probes) > 4
    assert {key for probe in probes for key in probe} & {"httpGet", "tcpSocket", "grpc", "exec"} == {"httpGet"}


def test_a_node_talks_to_its_own_server_where_there_is_one(items: list[Object]) -> None:
    node = containers(pods(items)["node-server"])
    local = "--nats-url=nats://127.0.0.1:4222" in node["agent"]["args"]
    assert local == ("nats" in node)


def test_the_capacity_objects_have_an_owner_that_the_provisioner_can_find() -> None:
    provisioner = containers(pods(built())["controller"])["csi-provisioner"]
    assert "--enable-capacity" in provisioner["args"]
    assert {each["name"] for each in provisioner["env"]} >= {"NAMESPACE", "POD_NAME"}


def test_services_of_kubernetes_put_no_variables_into_our_settings(items: list[Object]) -> None:
    assert all(pod["spec"]["enableServiceLinks"] is False for pod in pods(items).values())


def test_a_changed_configuration_makes_new_pods() -> None:
    several, single = (pods(built(nats_replicas=count))["nats"]["metadata"]["annotations"] for count in (3, 1))
    assert several != single


def test_with_a_nats_of_ones_own_none_is_installed() -> None:
    found = built(nats_url="nats://n:4222")
    assert "StatefulSet" not in {item["kind"] for item in found}
    assert "nats" not in containers(pods(found)["node-server"])
    assert "NetworkPolicy" not in {item["kind"] for item in found}


def test_only_our_pods_reach_nats() -> None:
    found = built()
    policy = one(found, "NetworkPolicy", "nats")["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= pods(found)["nats"]["metadata"]["labels"].items()
    admitted = [peer["podSelector"]["matchLabels"] for rule in policy["ingress"] for peer in rule["from"]]
    for labels in admitted:
        assert any(labels.items() <= pod["metadata"]["labels"].items() for pod in pods(found).values())


# ---- options ---------------------------------------------------------------------------------------------------------


def test_selectors_choose_nodes_for_drives_and_tolerations_hold_for_all() -> None:
    found = pods(built(node_selector=["drives=yes"], tolerations=["drives:NoSchedule"], image_pull_secrets=["key"]))
    assert found["node-server"]["spec"]["nodeSelector"]["drives"] == "yes"
    for name, pod in found.items():
        assert pod["spec"]["tolerations"][0]["key"] == "drives"
        assert pod["spec"]["imagePullSecrets"] == [{"name": "key"}]
        assert "drives" not in pod["spec"].get("nodeSelector", {}) or name == "node-server"


def test_what_has_the_secret_of_the_bus_runs_on_chosen_nodes_and_nothing_else_does() -> None:
    found = pods(built(control_node_selector=["trusted=yes"]))
    asked = {name: pod["spec"]["nodeSelector"].get("trusted") for name, pod in found.items()}
    secret = {name for name, pod in found.items() if "'secretName': 'directpv-bus'" in str(pod["spec"]["volumes"])}
    assert secret == {"controller", "nats"}
    assert {name for name, value in asked.items() if value == "yes"} == secret


def test_pods_go_to_nodes_with_linux_whatever_else_is_asked(items: list[Object]) -> None:
    asked = pods(built(node_selector=["drives=yes"]))["node-server"]["spec"]["nodeSelector"]
    assert asked == {"drives": "yes", "kubernetes.io/os": "linux"}
    for pod in pods(items).values():
        assert pod["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}


@pytest.mark.parametrize("given", [[], ["drives:NoSchedule"]], ids=str)
def test_a_taint_that_evicts_workloads_leaves_the_agent_that_unmounts_for_them(given: list[str]) -> None:
    stay = {"operator": "Exists", "effect": "NoExecute"}
    found = pods(built(tolerations=given))
    assert {name for name, pod in found.items() if stay in pod["spec"]["tolerations"]} == {"node-server"}
    assert len(found["node-server"]["spec"]["tolerations"]) == len(given) + 1


def test_kubelets_folder_is_the_same_wherever_it_is_named() -> None:
    text = manifest.to_yaml(built(kubelet_dir="/var/snap/kubelet/"))
    assert "/var/lib/kubelet" not in text
    assert "--kubelet-registration-path=/var/snap/kubelet/plugins/directpv-min-io/csi.sock" in text


@pytest.mark.parametrize(("version", "field"), [("1.29", False), ("1.30", True)])
def test_apparmor_is_a_field_from_the_version_that_has_it(version: str, field: bool) -> None:
    pod = pods(built(apparmor_profile="directpv", kube_version=version))["node-server"]
    fields = ["appArmorProfile" in each["securityContext"] for each in containers(pod).values()]
    annotations = [key for key in pod["metadata"]["annotations"] if "apparmor" in key]
    assert (all(fields), len(annotations)) == ((True, 0) if field else (False, len(fields)))


def test_seccomp_is_of_the_agent() -> None:
    agent = containers(pods(built(seccomp_profile="p.json"))["node-server"])["agent"]
    assert agent["securityContext"]["seccompProfile"] == {"type": "Localhost", "localhostProfile": "p.json"}


def test_old_clusters_get_no_label_that_they_do_not_know() -> None:
    labels = [built(kube_version=version)[0]["metadata"]["labels"] for version in ("1.24", "1.25")]
    assert ["pod-security.kubernetes.io/enforce" in each for each in labels] == [False, True]


@pytest.mark.parametrize(("version", "always"), [("1.24", False), ("1.26", False), ("1.27", True), ("1.37", True)])
def test_a_pod_that_is_not_ready_holds_up_no_drain_from_the_version_that_can_say_so(version: str, always: bool) -> None:
    budgets = [item["spec"] for item in built(kube_version=version) if item["kind"] == "PodDisruptionBudget"]
    expected = "AlwaysAllow" if always else None
    assert [budget.get("unhealthyPodEvictionPolicy") for budget in budgets] == [expected] * 2


@pytest.mark.parametrize(("version", "holds"), [("1.36", None), ("1.37", True)])
def test_pods_wait_for_a_nodes_agent_from_the_version_that_can_hold_them(version: str, holds: bool | None) -> None:
    driver = one(built(kube_version=version), "CSIDriver", "directpv-min-io")
    assert driver["spec"].get("preventPodSchedulingIfMissing") is holds


@pytest.mark.parametrize(("version", "old"), [("1.24", True), ("1.36", True), ("1.37", False)])
def test_health_is_told_as_the_kubelet_of_that_version_asks_for_it(version: str, old: bool) -> None:
    gateways = [
        container["args"]
        for pod in pods(built(kube_version=version)).values()
        for container in [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]
        if container["name"] == "gateway"
    ]
    assert len(gateways) == 2
    assert [("--volume-condition" in args) for args in gateways] == [old, old]


def test_openshift_admits_the_pods() -> None:
    bindings = {
        item["subjects"][0]["name"]: item["roleRef"]["name"]
        for item in built(openshift=True)
        if item["metadata"]["name"].endswith("-scc")
    }
    assert bindings["directpv-node"].endswith(":privileged")
    assert {name for name, scc in bindings.items() if not scc.endswith(":privileged")} == {
        "directpv-controller",
        "directpv-nats",
    }


# ---- as a whole ------------------------------------------------------------------------------------------------------


def test_every_object_has_a_place_and_a_name_of_its_own(items: list[Object]) -> None:
    refs = [Ref.of(item) for item in items]
    assert len(set(refs)) == len(refs)
    assert {ref.kind for ref in refs} <= set(PLACES)
    for item in items:
        assert ("namespace" in item["metadata"]) == PLACES[item["kind"]].namespaced


def test_what_is_referred_to_comes_first(items: list[Object]) -> None:
    order = [item["kind"] for item in items]
    for first, then in (
        ("Namespace", "ServiceAccount"),
        ("CustomResourceDefinition", "Deployment"),
        ("ServiceAccount", "DaemonSet"),
        ("ClusterRoleBinding", "Deployment"),
        ("ConfigMap", "DaemonSet"),
    ):
        if first in order:
            assert order.index(first) < order.index(then)


def test_upstreams_plugin_finds_no_container_of_its_own_whose_image_a_repair_could_be_run_from(
    items: list[Object],
) -> None:
    """As README says. It asks the DaemonSet for that image, and would run xfs_repair beside our agent's mounts.

    Source: facts of upstream v4.1.6: ``repair`` makes a Job from container ``node-server`` of the DaemonSet so named.
    """
    assert "node-server" not in containers(pods(items)["node-server"])


def test_the_same_choices_give_the_same_text() -> None:
    assert manifest.to_yaml(built()) == manifest.to_yaml(built())


def test_uninstall_knows_every_object_of_an_installation(items: list[Object]) -> None:
    from directpv_cli.install.applying import removal

    known = {*removal.WORKLOADS, *removal.CLUSTER_WIDE, *removal.IN_NAMESPACE, *removal.DEFINITIONS}
    assert set(map(Ref.of, items)) - known == {Ref("Namespace", "directpv")}


def test_versions_compare_as_numbers() -> None:
    assert KubeVersion(1, 9) < KubeVersion(1, 24)
