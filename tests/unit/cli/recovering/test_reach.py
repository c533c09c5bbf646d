"""Objects are made only in the cluster that was named, or through which the drives were reached."""

from pathlib import Path

import pytest

from directpv_cli.commands.changing.recover import in_cluster
from directpv_cli.reading.settings import settings


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ({}, True),
        ({"nats_url": "nats://127.0.0.1:4222"}, False),
        ({"nats_url": "nats://127.0.0.1:4222", "kubeconfig": "some"}, True),
        ({"nats_url": "nats://127.0.0.1:4222", "context": "some"}, True),
    ],
)
def test_a_kubeconfig_that_lies_about_is_not_taken_for_the_cluster_of_a_bus_that_was_named(
    flags: dict[str, str], expected: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube/config").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("KUBECONFIG", "DIRECTPV_STATE_DIR"):
        monkeypatch.delenv(variable, raising=False)
    for name in ("nats_url", "kubeconfig", "context"):
        monkeypatch.setattr(settings, name, flags.get(name, ""))
    assert in_cluster() is expected


def test_without_any_kubeconfig_there_is_no_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    for variable in ("KUBECONFIG", "DIRECTPV_STATE_DIR"):
        monkeypatch.delenv(variable, raising=False)
    for name in ("nats_url", "kubeconfig", "context"):
        monkeypatch.setattr(settings, name, "")
    assert not in_cluster()
