"""A kubeconfig says where the API server is; one that does not is refused in words."""

from pathlib import Path

import pytest
import yaml

from directpv_common.protocol.errors import InvalidRequest, Unavailable
from directpv_controller.registry.kubernetes.apiserver.access import from_kubeconfig, in_cluster


def kubeconfig(path: Path, user: dict[str, object], **cluster: object) -> Path:
    path.write_text(
        yaml.safe_dump(
            {
                "current-context": "b",
                "contexts": [
                    {"name": "a", "context": {"cluster": "a", "user": "a"}},
                    {"name": "b", "context": {"cluster": "b", "user": "b"}},
                ],
                "clusters": [
                    {"name": "a", "cluster": {"server": "https://wrong"}},
                    {"name": "b", "cluster": {"server": "https://right:6443/", **cluster}},
                ],
                "users": [{"name": "a", "user": {"token": "wrong"}}, {"name": "b", "user": user}],
            }
        )
    )
    return path


async def test_the_current_context_decides(tmp_path: Path) -> None:
    access = from_kubeconfig(kubeconfig(tmp_path / "config", {"token": "right"}))
    assert (access.url, await access.token(False)) == ("https://right:6443", "right")


async def test_a_token_file_is_read_again_when_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    access = from_kubeconfig(kubeconfig(tmp_path / "config", {"tokenFile": "token"}))
    assert await access.token(False) == "first"
    (tmp_path / "token").write_text("second\n")
    assert await access.token(False) == "first"
    assert await access.token(True) == "second"


async def test_a_program_gives_the_token_until_it_expires(tmp_path: Path) -> None:
    credential = '{"status": {"token": "given", "expirationTimestamp": "2099-01-01T00:00:00Z"}}'
    script = tmp_path / "give"
    script.write_text(f"#!/bin/sh\necho asked >> {tmp_path}/log\necho '{credential}'\n")
    script.chmod(0o700)
    access = from_kubeconfig(kubeconfig(tmp_path / "config", {"exec": {"command": str(script)}}))
    assert [await access.token(False), await access.token(False)] == ["given", "given"]
    assert (tmp_path / "log").read_text() == "asked\n"


async def test_a_program_that_gives_none_is_named(tmp_path: Path) -> None:
    access = from_kubeconfig(kubeconfig(tmp_path / "config", {"exec": {"command": "false"}}))
    with pytest.raises(Unavailable, match="false"):
        await access.token(False)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "kubeconfig"),
        ("current-context: x\ncontexts: []\nclusters: []\nusers: []\n", "context"),
        ("[", "kubeconfig"),
    ],
)
def test_a_file_that_makes_no_sense_is_named(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(InvalidRequest, match=match):
        from_kubeconfig(tmp_path / "config")


def test_what_is_not_supported_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="not supported"):
        from_kubeconfig(kubeconfig(tmp_path / "config", {"auth-provider": {"name": "gcp"}}))


def test_outside_of_a_pod_a_file_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(InvalidRequest, match="kubeconfig"):
        in_cluster()
