"""Suspending a drive or a volume keeps its data out of sight of pods that start, until it is resumed."""

import json

import pytest

from support.kube.driver import NAMESPACE, Driver
from support.kube.workloads import KEY, Object, Space, claim, drive_of, node_of, pod, stateful_set

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1800)]

LABEL = f"{KEY}/suspend"
SELECTOR = f"selector.{KEY}=directpv-min-io-node-server"


async def by_plugin(driver: Driver, noun: str, name: str) -> None:
    """Suspend with the plugin, which returns when the node knows."""
    await driver.plugin("suspend", noun, name, "--dangerous")


async def resume_by_plugin(driver: Driver, noun: str, name: str) -> None:
    await driver.plugin("resume", noun, name)


async def by_label(driver: Driver, noun: str, name: str) -> None:
    """Suspend as upstream's plugin does: it writes a label on the object, and nothing else."""
    driver.cluster.api.kubectl("label", f"directpv{noun}", name, f"{LABEL}=true")
    await on_node(driver, noun, name, suspended=True)


async def resume_by_label(driver: Driver, noun: str, name: str) -> None:
    driver.cluster.api.kubectl("label", f"directpv{noun}", name, f"{LABEL}-")
    await on_node(driver, noun, name, suspended=False)


async def on_node(driver: Driver, noun: str, name: str, *, suspended: bool) -> None:
    """Wait until the decision is on the drive itself, which is what its node goes by."""
    found = driver.cluster.api.objects(f"directpv{noun}", f"--field-selector=metadata.name={name}")[0]
    place = f"/var/lib/directpv/mnt/{drive_of(found)}/.directpv"
    path = f"{place}/drive.json" if noun == "drives" else f"{place}/volumes/{name}.json"
    pods = driver.cluster.api.objects("pods", "-n", NAMESPACE, "-l", SELECTOR)
    (agent,) = (each["metadata"]["name"] for each in pods if each["spec"]["nodeName"] == node_of(found))

    def known() -> bool:
        text = driver.cluster.api.kubectl("exec", "-n", NAMESPACE, agent, "-c", "agent", "--", "cat", path)
        return (json.loads(text).get("labels", {}).get(LABEL) == "true") is suspended

    await driver.cluster.eventually(known, f"node {node_of(found)} knows that {noun} {name} {suspended=}")


async def restart(space: Space) -> None:
    """Let the pod go, and wait for its successor, which has the same claims."""
    await space.kubectl("delete", "pod", "user-0", "--force", "--grace-period=0")
    await space.ready("app=user", 1)


async def begun(space: Space) -> dict[str, Object]:
    """Start a pod with two claims on two drives, or on one, and with a file on each; return the volumes."""
    await space.apply(stateful_set("user", 1, ["one", "two"]))
    await space.ready("app=user", 1)
    await space.sh("user-0", "echo old > /one/file; echo old > /two/file; sync /one/file /two/file")
    volumes = await space.volumes()
    return {name: volumes[f"{name}-user-0"] for name in ("one", "two")}


async def is_served(space: Space, name: str, content: str = "old") -> None:
    assert await space.sh("user-0", f"cat /{name}/file") == content


async def is_hidden(space: Space, name: str) -> None:
    assert await space.sh("user-0", f"ls -A /{name}") == ""
    refused = await space.attempt("user-0", f"echo new > /{name}/other")
    assert refused.returncode
    assert "Read-only file system" in refused.stderr


async def test_pods_find_a_suspended_volume_empty_and_read_only_and_its_data_again_when_it_is_resumed(
    driver: Driver, space: Space
) -> None:
    name = (await begun(space))["one"]["metadata"]["name"]

    await by_plugin(driver, "volumes", name)
    await is_served(space, "one")  # what runs keeps what it has
    await restart(space)

    await is_hidden(space, "one")
    await is_served(space, "two")
    await restart(space)
    await is_hidden(space, "one")

    await resume_by_label(driver, "volumes", name)
    await is_hidden(space, "one")
    await restart(space)

    await is_served(space, "one")
    await space.sh("user-0", "echo new > /one/file")
    await is_served(space, "one", "new")
    await is_served(space, "two")


@pytest.mark.long
async def test_a_suspended_drive_hides_all_its_volumes_is_shown_so_and_serves_them_again_when_it_is_resumed(
    driver: Driver, space: Space
) -> None:
    volumes = await begun(space)
    drive = drive_of(volumes["one"])
    on_it = [name for name, volume in volumes.items() if drive_of(volume) == drive]

    await by_label(driver, "drives", drive)
    try:
        listed = await driver.plugin("list", "drives", drive)
        assert "Ready,Suspended" in listed.stdout
        await is_served(space, "one")
        await restart(space)

        for name in volumes:
            await (is_hidden if name in on_it else is_served)(space, name)
    finally:
        await resume_by_plugin(driver, "drives", drive)
    await restart(space)

    for name in volumes:
        await is_served(space, name)
    assert "Suspended" not in (await driver.plugin("list", "drives", drive)).stdout


@pytest.mark.long
async def test_a_pod_that_starts_after_the_resume_finds_the_data_beside_one_that_still_has_the_empty_directory(
    driver: Driver, space: Space
) -> None:
    await space.apply(claim("data"), pod("writer", ["data"]))
    await space.ready("app=writer", 1)
    await space.sh("writer", "echo old > /data/file; sync /data/file")
    name = (await space.volumes())["data"]["metadata"]["name"]
    await driver.plugin("suspend", "volumes", name, "--dangerous")
    await space.kubectl("delete", "pod", "writer")
    await driver.cluster.eventually(
        lambda: not driver.volumes()[name]["status"]["stagingTargetPath"], "the volume is mounted nowhere on its node"
    )

    await space.apply(pod("early", ["data"]))
    await space.ready("app=early", 1)
    await driver.plugin("resume", "volumes", name)
    await space.apply(pod("late", ["data"]))
    await space.ready("app=late", 1)

    assert await space.sh("early", "ls -A /data") == ""
    assert await space.sh("late", "cat /data/file") == "old"
    await space.sh("late", "echo new > /data/file")
