"""DirectPV is upgraded, uninstalled and installed again below pods that go on writing."""

import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from directpv_cli.install.images import Images
from support.kube.cluster import OwnCluster
from support.kube.driver import NAMESPACE, Driver
from support.kube.workloads import Object, Space, claim
from support.kube.writer import Writer

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(1800)]

NEXT = "next"
"""Tag of the image that stands for the next version."""


async def check_undisturbed(writer: Writer, began: Object) -> None:
    """Assert that the pod is the one that began, never had to start again, and writes."""
    await writer.goes_on()
    await writer.written()
    now = await writer.pod()
    assert now["metadata"]["uid"] == began["metadata"]["uid"]
    assert await writer.restarts() == 0


def images(pod: Object) -> set[str]:
    """Return which tags of our own image a pod runs."""
    ours = Images().driver.rpartition(":")[0]
    used = (container["image"].rpartition(":") for container in pod["spec"]["containers"])
    return {tag for name, _, tag in used if name == ours}


async def test_an_upgrade_replaces_every_pod_while_pods_write_to_their_volumes_without_a_gap(
    machines: OwnCluster, driver: Driver, space: Space
) -> None:
    for node in machines.nodes:
        await node.tag_image(Images().driver, f"{Images().driver.rpartition(':')[0]}:{NEXT}")
    writer = Writer(space, "writer")
    began = await writer.start()
    before = {pod["metadata"]["uid"] for pod in machines.api.objects("pods", "-n", NAMESPACE)}

    start = time.monotonic()
    await driver.install(f"--image=directpv:{NEXT}", "--on-predicted-failure=cordon")
    print(f"{len(before)} pods replaced in {time.monotonic() - start:.0f} s")

    after = machines.api.objects("pods", "-n", NAMESPACE)
    assert {tag for pod in after for tag in images(pod)} == {NEXT}
    assert not before & {pod["metadata"]["uid"] for pod in after}
    await check_undisturbed(writer, began)
    await Writer(space, "new").start()
    assert len(driver.drives("Ready")) == len(driver.drives())


@contextlib.asynccontextmanager
async def uninstalled(driver: Driver) -> AsyncIterator[None]:
    """Have nothing installed in the block, and everything again after it."""
    await driver.uninstall()
    try:
        yield
    finally:
        await driver.install()


def records(driver: Driver) -> dict[str, Any]:
    """Return what is kept of drives and volumes whoever runs: their specs, states and sizes."""
    objects = {each["metadata"]["name"]: each for each in (*driver.drives(), *driver.volumes().values())}
    return {name: (each.get("spec"), each["status"], each["metadata"]["finalizers"]) for name, each in objects.items()}


async def test_pods_write_on_while_nothing_is_installed_and_an_installation_finds_all_drives_and_volumes(
    machines: OwnCluster, driver: Driver, space: Space
) -> None:
    writer, leaving, later = Writer(space, "writer"), Writer(space, "leaving"), Writer(space, "later")
    began = await writer.start()
    await leaving.start()
    for each in (writer, leaving):
        await machines.until(lambda each=each: is_shown_in_use(each), f"{each.name} is shown to be in use")
    before = records(driver)

    async with uninstalled(driver):
        assert not machines.api.objects("namespaces", f"--field-selector=metadata.name={NAMESPACE}")
        assert records(driver) == before
        await check_undisturbed(writer, began)
        await space.apply(claim(later.name), later.manifest())
        await space.kubectl("delete", "pod", leaving.name, "--wait=false")
        await check_undisturbed(writer, began)

    await check_undisturbed(writer, began)
    await machines.eventually(lambda: len(driver.drives("Ready")) == len(driver.drives()), "all drives are Ready")
    assert before.keys() <= records(driver).keys()
    await space.ready(f"app={later.name}", 1)
    await later.goes_on()

    await machines.until(lambda: has_left(leaving), "a pod that was deleted meanwhile is gone", 180)
    written = await writer.written()
    await space.kubectl("delete", "pod", writer.name)
    await writer.start_pod()
    assert await writer.written() > written


async def is_shown_in_use(writer: Writer) -> bool:
    return bool((await writer.volume())["status"]["targetPath"])


async def has_left(writer: Writer) -> bool:
    return not await writer.space.objects("pods", f"--field-selector=metadata.name={writer.name}")
