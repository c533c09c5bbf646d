"""DirectPV is upgraded, uninstalled and installed again below pods that go on writing."""

import asyncio
import time
from typing import Any

import pytest

from directpv_cli.install.objects.images import Images
from support.kube.cluster import OwnCluster
from support.kube.driver import NAMESPACE, Driver, uninstalled
from support.kube.workloads import Object, Space, claim
from support.kube.writer import Writer, on

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1800)]

NEXT = "next"
"""Tag of the image that stands for the next version."""


def images(pod: Object) -> set[str]:
    """Return which tags of our own image a pod runs."""
    ours = Images().driver.rpartition(":")[0]
    used = (container["image"].rpartition(":") for container in pod["spec"]["containers"])
    return {tag for name, _, tag in used if name == ours}


async def test_an_upgrade_replaces_every_pod_while_pods_write_to_their_volumes_without_a_gap(
    machines: OwnCluster, driver: Driver, space: Space
) -> None:
    tag = f"{Images().driver.rpartition(':')[0]}:{NEXT}"
    await asyncio.gather(*(node.tag_image(Images().driver, tag) for node in machines.nodes))
    writers = [Writer(space, f"on-{node.name}") for node in machines.nodes]
    began = await asyncio.gather(
        *(writer.start(**on(node.name)) for writer, node in zip(writers, machines.nodes, strict=True))
    )
    before = {pod["metadata"]["uid"] for pod in machines.api.objects("pods", "-n", NAMESPACE)}

    start = time.monotonic()
    await driver.install(f"--image=directpv:{NEXT}", "--on-predicted-failure=cordon")
    print(f"{len(before)} pods replaced in {time.monotonic() - start:.0f} s")

    def are_replaced() -> bool:
        """The last ones may still be ending when their successors are ready."""
        now = machines.api.objects("pods", "-n", NAMESPACE)
        return {tag for pod in now for tag in images(pod)} == {NEXT} and not before & {
            pod["metadata"]["uid"] for pod in now
        }

    await machines.eventually(are_replaced, "only pods of the next version are there")
    await asyncio.gather(*(writer.check_undisturbed(pod) for writer, pod in zip(writers, began, strict=True)))
    await Writer(space, "new").start()
    await machines.eventually(lambda: len(driver.drives("Ready")) == len(driver.drives()), "all drives are Ready")


def records(driver: Driver) -> dict[str, Any]:
    """Return what is kept of drives and volumes whoever runs: their specs, states and sizes."""
    objects = {each["metadata"]["name"]: each for each in (*driver.drives(), *driver.volumes().values())}
    return {name: (each.get("spec"), each["status"], each["metadata"]["finalizers"]) for name, each in objects.items()}


def kept(record: Any) -> Any:
    """Return what of a record no restart may change: of which drive it is, how large, and where that is."""
    _, status, _ = record
    return status["fsuuid"], status["totalCapacity"], status.get("topology")


@pytest.mark.long
async def test_pods_write_on_while_nothing_is_installed_and_an_installation_finds_all_drives_and_volumes(
    machines: OwnCluster, driver: Driver, space: Space
) -> None:
    writer, leaving, later = Writer(space, "writer"), Writer(space, "leaving"), Writer(space, "later")
    began = await writer.start()
    await leaving.start()
    for each in (writer, leaving):
        await machines.until(each.is_shown_in_use, f"{each.name} is shown to be in use")
    before = records(driver)

    async with uninstalled(driver):
        assert not machines.api.objects("namespaces", f"--field-selector=metadata.name={NAMESPACE}")
        assert records(driver) == before
        await writer.check_undisturbed(began)
        await space.apply(claim(later.name), later.manifest())
        await space.kubectl("delete", "pod", leaving.name, "--wait=false")
        await writer.check_undisturbed(began)

    await writer.check_undisturbed(began)
    await machines.eventually(lambda: len(driver.drives("Ready")) == len(driver.drives()), "all drives are Ready")
    promised = {name: kept(record) for name, record in records(driver).items() if name in before}
    assert promised == {name: kept(record) for name, record in before.items()}
    await space.ready(f"app={later.name}", 1)
    await later.goes_on()

    await machines.until(lambda: has_left(leaving), "a pod that was deleted meanwhile is gone", 180)
    written = await writer.written()
    await space.kubectl("delete", "pod", writer.name)
    await writer.start_pod()
    assert await writer.written() > written


async def has_left(writer: Writer) -> bool:
    return not await writer.space.objects("pods", f"--field-selector=metadata.name={writer.name}")
