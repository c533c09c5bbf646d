"""Answers of the API server: lists in pages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from directpv_cli.install.applying import kube
from directpv_common.protocol.errors import FailedPrecondition, InvalidToken


class Forgetful(kube.Cluster):
    """Gives out pages of one name; asked for the next page, it has forgotten the list so many times."""

    def __init__(self, names: list[str], forgets: int) -> None:
        super().__init__(None, "", None)
        self.names, self.forgets = names, forgets

    async def call(self, method: str, path: str, *, query: Mapping[str, str] | None = None, **_: Any) -> dict[str, Any]:
        at = int((query or {}).get("continue", "0"))
        if at and self.forgets:
            self.forgets -= 1
            kube._answer(410, b'{"message": "The provided continue parameter is too old"}', path)
        rest = {"continue": str(at + 1)} if at + 1 < len(self.names) else {}
        return {"metadata": rest, "items": [{"metadata": {"name": self.names[at]}}]}


async def listed(cluster: kube.Cluster) -> list[str]:
    return [item["metadata"]["name"] async for page in cluster.pages("Pod") for item in page]


async def test_a_list_that_expired_begins_again_and_leaves_nothing_out() -> None:
    assert await listed(Forgetful(["a", "b", "c"], 2)) == ["a", "a", "a", "b", "c"]


async def test_a_list_that_always_expires_is_an_error() -> None:
    with pytest.raises(InvalidToken, match="too old"):
        await listed(Forgetful(["a", "b"], 1000))


async def test_the_context_that_a_flag_names_is_the_cluster_that_is_changed(tmp_path: Path) -> None:
    names = ("test", "production")
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "test",
        "users": [{"name": "me", "user": {"token": "t"}}],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}.example"}} for name in names],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "me"}} for name in names],
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(config))
    for context, expected in (("", "test"), ("production", "production")):
        async with kube.connect(str(path), context) as cluster:
            assert cluster._url == f"https://{expected}.example"
    with pytest.raises(FailedPrecondition, match="staging"):
        async with kube.connect(str(path), "staging"):
            pass
