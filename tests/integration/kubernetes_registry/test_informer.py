"""An informer on a real API server: silence, bookmarks, versions that are too old, tokens that are refused."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from directpv_common.crd import Object
from directpv_controller.registry.kubernetes.apiserver import informer
from directpv_controller.registry.kubernetes.apiserver.access import from_kubeconfig
from directpv_controller.registry.kubernetes.apiserver.client import Client, Resource, connect
from directpv_controller.registry.kubernetes.apiserver.informer import Informer, newer
from integration.controller.harness import until
from integration.kubernetes_registry.harness import DRIVES, Cluster, upstream_drive
from support.proxy import Proxy

pytestmark = pytest.mark.timeout(120)


class Followed:
    """ConfigMaps of the installation's namespace: nobody else writes them."""

    def __init__(self, cluster: Cluster, **informer: object) -> None:
        self.cluster, self.more = cluster, informer
        self.resource = Resource(f"/api/v1/namespaces/{cluster.namespace}/configmaps", "configmaps")
        self.seen: dict[str, Object] = {}
        self.gone: list[str] = []
        self.informer: Informer

    def make(self, name: str) -> None:
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"some": "thing"}}
        self.cluster.objects.call("POST", self.resource.path, body)

    def _take(self, kind: str, obj: Object) -> None:
        name = obj["metadata"]["name"]
        if kind == "deleted":
            self.gone.append(name)
        else:
            self.seen[name] = obj

    @contextlib.asynccontextmanager
    async def running(self, port: int = 0) -> AsyncIterator[None]:
        """Follow, through ``port`` of this machine if one is given."""
        access = from_kubeconfig(self.cluster.server.admin)
        access = replace(access, url=f"https://127.0.0.1:{port}") if port else access
        async with connect(access, lambda *_: None) as client:
            self.informer = Informer(client, self.resource, self._take, **self.more)  # type: ignore[arg-type]
            task = asyncio.create_task(self.informer.run())
            try:
                await asyncio.wait_for(self.informer.synced.wait(), 20)
                yield
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def test_a_watch_that_falls_silent_is_opened_again(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(informer, "IDLE_SECONDS", 1.0)
    followed, proxy = Followed(cluster), Proxy(cluster.server.port)
    async with proxy.listening() as port, followed.running(port):
        followed.make("before")
        await until(lambda: "before" in followed.seen, "the watch works")
        proxy.stall()
        followed.make("after")
        await until(lambda: "after" in followed.seen, "it is opened again")
        assert followed.informer.relists == 0


async def test_bookmarks_keep_the_version_of_a_quiet_watch_fresh(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(informer, "WATCH_SECONDS", 5.0)  # the server sends one shortly before the end
    followed = Followed(cluster)
    async with followed.running():
        elsewhere = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": cluster.namespace}}
        made = cluster.objects.call("POST", "/api/v1/namespaces/default/configmaps", elsewhere)
        version = made["metadata"]["resourceVersion"]
        await until(lambda: not newer(version, followed.informer.version), "the version is as late as the other object")
        assert cluster.namespace not in followed.seen


async def test_a_version_that_is_too_old_leads_to_a_list(cluster: Cluster) -> None:
    cluster.objects.call("POST", DRIVES, upstream_drive("there"))
    followed = Followed(cluster, version="1", known={"gone"})  # the definition is younger
    followed.resource = Resource(DRIVES, "drives")
    async with followed.running():
        await until(lambda: followed.informer.relists == 1, "everything is listed again")
        await until(lambda: followed.gone, "what is gone is told")
        assert followed.gone == ["gone"]
        assert "there" in followed.seen


async def test_who_wrote_which_field_is_not_kept(cluster: Cluster) -> None:
    followed = Followed(cluster)
    followed.make("listed")
    async with followed.running():
        followed.make("watched")
        await until(lambda: "watched" in followed.seen, "it is seen")
        for name in ("listed", "watched"):
            found = cluster.objects.call("GET", f"{followed.resource.path}/{name}")
            assert found["metadata"].pop("managedFields")
            assert followed.seen[name]["metadata"] == found["metadata"]


@contextlib.asynccontextmanager
async def with_a_token_that_was_replaced(cluster: Cluster, directory: Path) -> AsyncIterator[Client]:
    """Yield a client that has read a token which is refused, while its file holds a good one."""
    space = cluster.namespace
    cluster.server.kubectl("create", "serviceaccount", "reader", f"--namespace={space}")
    cluster.server.kubectl("create", "role", "reader", f"--namespace={space}", "--verb=get,list,watch",
                           "--resource=configmaps")  # fmt: skip
    cluster.server.kubectl("create", "rolebinding", "reader", f"--namespace={space}", "--role=reader",
                           f"--serviceaccount={space}:reader")  # fmt: skip
    file, config = directory / "token", directory / "config"
    file.write_text("of yesterday")
    config.write_text(yaml.safe_dump(cluster.server.endpoint.config({"tokenFile": str(file)})))
    access = from_kubeconfig(config)
    await access.token(False)
    file.write_text(cluster.server.kubectl("create", "token", "reader", f"--namespace={space}"))
    async with connect(access, lambda *_: None) as client:
        yield client


async def test_a_call_is_made_again_with_the_token_that_the_file_has_now(cluster: Cluster, tmp_path: Path) -> None:
    followed = Followed(cluster)
    followed.make("there")
    async with with_a_token_that_was_replaced(cluster, tmp_path) as client:
        assert (await client.get(followed.resource, "there"))["metadata"]["name"] == "there"


async def test_a_watch_is_opened_with_the_token_that_the_file_has_now(cluster: Cluster, tmp_path: Path) -> None:
    followed = Followed(cluster)
    followed.make("there")
    version = cluster.objects.call("GET", followed.resource.path)["metadata"]["resourceVersion"]
    async with (
        with_a_token_that_was_replaced(cluster, tmp_path) as client,
        client.watch(followed.resource, version, seconds=10, idle=10) as events,
    ):
        followed.make("next")
        assert (await anext(events))["object"]["metadata"]["name"] == "next"
