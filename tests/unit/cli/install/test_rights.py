"""What each part of an installation may do."""

from directpv_cli.install.objects import nats
from unit.cli.install.builders import Object, containers, pods

PEOPLE = {"directpv-administrator", "directpv-observer"}

# ---- rights ----------------------------------------------------------------------------------------------------------


def test_no_rule_is_about_secrets_or_everything(items: list[Object]) -> None:
    for role in items:
        for rule in role.get("rules", []):
            assert not {"secrets", "*"} & {*rule["resources"], *rule["verbs"], *rule["apiGroups"]}


def test_definitions_of_resources_are_only_looked_at_and_only_one(items: list[Object]) -> None:
    rules = [rule for role in items for rule in role.get("rules", []) if "apiextensions.k8s.io" in rule["apiGroups"]]
    assert [(rule["verbs"], rule["resourceNames"]) for rule in rules] == [(["get"], ["directpvdrives.directpv.min.io"])]


def for_pods(items: list[Object]) -> list[Object]:
    """Return the roles that accounts of pods have; the others are for people."""
    return [item for item in items if "rules" in item and item["metadata"]["name"] not in PEOPLE]


def test_no_pod_may_escalate_through_rbac_pods_or_tokens(items: list[Object]) -> None:
    for role in for_pods(items):
        for rule in role["rules"]:
            assert "rbac.authorization.k8s.io" not in rule["apiGroups"]
            assert "serviceaccounts/token" not in rule["resources"]
            if "pods" in rule["resources"]:
                assert set(rule["verbs"]) <= {"get", "list"}


def test_pods_that_use_volumes_are_read_in_every_namespace_and_listed_in_none_but_ours(items: list[Object]) -> None:
    allowed = {
        (role["kind"], *rule["verbs"])
        for role in for_pods(items)
        for rule in role["rules"]
        if "pods" in rule["resources"]
    }
    guarded = {("Role", "list")} if "StatefulSet" in {item["kind"] for item in items} else set()
    assert allowed == {("ClusterRole", "get")} | guarded


def test_people_may_have_a_token_of_one_account_that_has_no_rights_and_no_pod(items: list[Object]) -> None:
    roles = [item for item in items if "rules" in item and item["metadata"]["name"] in PEOPLE]
    for role in roles:
        tokens = [rule for rule in role["rules"] if "serviceaccounts/token" in rule["resources"]]
        assert [rule["resourceNames"] for rule in tokens] == [[role["metadata"]["name"]]]
        forwarded = [rule["resourceNames"] for rule in role["rules"] if "pods/portforward" in rule["resources"]]
        assert forwarded == [[f"{nats.NAME}-{index}" for index in range(nats.SERVERS)]], "no node's server, nor agent"
        assert role["kind"] == "Role"
    subjects = [subject["name"] for item in items for subject in item.get("subjects", ())]
    used = [pod["spec"]["serviceAccountName"] for pod in pods(items).values()]
    assert not PEOPLE & {*subjects, *used}
    assert len(roles) == (2 if "StatefulSet" in {item["kind"] for item in items} else 0)


def test_only_the_controllers_pod_has_a_token_and_only_its_account_has_rights(items: list[Object]) -> None:
    with_token = [name for name, pod in pods(items).items() if pod["spec"]["automountServiceAccountToken"]]
    assert with_token == ["controller"]
    bound = {
        subject["name"]
        for item in items
        if item["kind"].endswith("Binding") and "scc" not in item["metadata"]["name"]
        for subject in item["subjects"]
    }
    assert bound == {"directpv-controller"}


def test_each_pod_has_an_account_of_its_own_that_exists(items: list[Object]) -> None:
    accounts = [pod["spec"]["serviceAccountName"] for pod in pods(items).values()]
    assert len(set(accounts)) == len(accounts)
    made = {item["metadata"]["name"] for item in items if item["kind"] == "ServiceAccount"}
    assert set(accounts) == made - PEOPLE


def test_the_secret_of_the_bus_is_in_no_object_and_only_servers_and_controllers_mount_it(items: list[Object]) -> None:
    assert "Secret" not in {item["kind"] for item in items}
    mounting = {
        (pod, name)
        for pod, template in pods(items).items()
        for volume in template["spec"]["volumes"]
        for name, each in containers(template).items()
        if "secret" in volume and volume["name"] in {m["name"] for m in each.get("volumeMounts", [])}
    }
    own = "StatefulSet" in {item["kind"] for item in items}
    assert mounting == ({("nats", "nats"), ("controller", "controller"), ("controller", "gateway")} if own else set())


def test_a_nodes_token_is_good_for_the_bus_alone_and_only_the_agent_has_it(items: list[Object]) -> None:
    node = pods(items)["node-server"]
    tokens = [
        (volume["name"], source["serviceAccountToken"]["audience"])
        for volume in node["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
    ]
    own = "StatefulSet" in {item["kind"] for item in items}
    assert tokens == ([("bus", "directpv.min.io/bus")] if own else [])
    having = [name for name, each in containers(node).items() if "bus" in {m["name"] for m in each["volumeMounts"]}]
    assert having == (["agent"] if own else [])


# ---- containers ------------------------------------------------------------------------------------------------------


def test_only_the_agent_is_privileged(items: list[Object]) -> None:
    found = pods(items)
    privileged = [
        (pod, name)
        for pod, template in found.items()
        for name, each in containers(template).items()
        if each["securityContext"].get("privileged")
    ]
    assert privileged == [("node-server", "agent")]


def test_every_other_container_can_gain_nothing(items: list[Object]) -> None:
    for pod in pods(items).values():
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for name, each in containers(pod).items():
            security = each["securityContext"]
            assert security["readOnlyRootFilesystem"], name
            if name != "agent":
                assert security["capabilities"] == {"drop": ["ALL"]}, name
                assert security["allowPrivilegeEscalation"] is False, name


def test_only_node_pods_run_as_root_use_folders_of_the_host_or_see_its_processes(items: list[Object]) -> None:
    for name, pod in pods(items).items():
        spec = pod["spec"]
        on_host = any("hostPath" in volume for volume in spec["volumes"])
        root = not spec["securityContext"].get("runAsNonRoot")
        assert (on_host, root, spec.get("hostPID", False)) == ((name == "node-server",) * 3)
        assert "hostNetwork" not in spec


def test_only_the_agent_can_make_mounts_that_the_host_sees(items: list[Object]) -> None:
    for name, each in containers(pods(items)["node-server"]).items():
        outwards = [m for m in each.get("volumeMounts", []) if m.get("mountPropagation") == "Bidirectional"]
        assert bool(outwards) == (name == "agent")


def test_every_container_says_what_it_needs_and_is_probed_where_it_can_be(items: list[Object]) -> None:
    for pod in pods(items).values():
        for each in containers(pod).values():
            assert set(each["resources"]["requests"]) == {"cpu", "memory"}
    probed = {name for pod in pods(items).values() for name, each in containers(pod).items() if "livenessProbe" in each}
    assert {"agent", "gateway", "controller"} <= probed
    assert all(
        "livenessProbe" in each
        for pod in pods(items).values()
        for name, each in containers(pod).items()
        if name == "nats"
    )


def test_a_lost_bus_restarts_no_container(items: list[Object]) -> None:
    """The sidecar's answer depends on NATS: it may make a pod unready, never restart it."""
    for pod in pods(items).values():
        for each in containers(pod).values():
            path = each.get("livenessProbe", {}).get("httpGet", {})
            assert path.get("port") not in (9898, "healthz")
            assert path.get("path") != "/ready"


def test_every_mount_has_its_volume_and_every_probe_its_port(items: list[Object]) -> None:
    for pod in pods(items).values():
        volumes = {volume["name"] for volume in pod["spec"]["volumes"]}
        numbers = {p["containerPort"] for each in containers(pod).values() for p in each.get("ports", [])}
        for each in containers(pod).values():
            assert {m["name"] for m in each.get("volumeMounts", [])} <= volumes
            own = {p["name"] for p in each.get("ports", [])}
            for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
                if "httpGet" in each.get(probe, {}):
                    assert each[probe]["httpGet"]["port"] in own | numbers
        assert all(
            any(m["name"] == v for e in containers(pod).values() for m in e.get("volumeMounts", [])) for v in volumes
        )
