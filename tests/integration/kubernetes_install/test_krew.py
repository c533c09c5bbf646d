"""The archive for krew, installed by krew and run as it installs it: behind a link, with its own libraries alone."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from directpv_cli.release import krew

TOP = Path(__file__).resolve().parents[3]
PLATFORM = f"linux-{ {'x86_64': 'amd64', 'aarch64': 'arm64'}[os.uname().machine] }"
VERSION = ".".join(map(str, sys.version_info[:2]))


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Manifest and archive for this machine."""
    dist = tmp_path_factory.mktemp("krew") / "dist"
    command = [TOP / "scripts/krew-archive", str(dist), f"--platform={PLATFORM}", f"--python={VERSION}"]
    subprocess.run(command, check=True, timeout=580)
    return dist


def _krew_install(dist: Path, root: Path) -> "subprocess.CompletedProcess[str]":
    """Have krew install what is in ``dist`` below ``root``."""
    build = subprocess.run(
        [TOP / "scripts/build-tool", "krew"], check=True, stdout=subprocess.PIPE, text=True, timeout=900
    )
    [archive] = dist.glob("*.tar.gz")
    command = [build.stdout.strip(), "install", f"--manifest={dist / 'directpv.yaml'}", f"--archive={archive}"]
    env = {"PATH": "/usr/bin:/bin", "KREW_ROOT": str(root), "HOME": str(root)}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.timeout(1600)
def test_krew_installs_the_plugin_and_it_runs(dist: Path, tmp_path: Path) -> None:
    done = _krew_install(dist, tmp_path)
    assert done.returncode == 0, done.stderr
    plugin = tmp_path / "bin" / krew.BIN
    env = {"PATH": "/usr/bin:/bin", "DIRECTPV_PYTHON": sys.executable, "HOME": str(tmp_path)}
    run = [plugin, "install", "-o", "yaml"]
    done = subprocess.run(run, env=env, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (TOP / "manifests/directpv.yaml").read_text()
    nowhere = [plugin, "install", "--kubeconfig=/nonexistent"]
    done = subprocess.run(nowhere, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("/nonexistent")) == (1, 1)


@pytest.mark.timeout(1600)
def test_krew_refuses_an_archive_that_is_not_the_one_of_the_manifest(dist: Path, tmp_path: Path) -> None:
    changed = tmp_path / "dist"
    shutil.copytree(dist, changed)
    [archive] = changed.glob("*.tar.gz")
    archive.write_bytes(archive.read_bytes() + b"x")

    done = _krew_install(changed, tmp_path / "root")

    assert done.returncode != 0
    assert "checksum" in done.stderr
    assert not (tmp_path / "root" / "bin" / krew.BIN).exists()


def test_without_a_fitting_python_the_launcher_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / krew.BIN).write_text(krew.launcher(("3.0",)))
    run = ["/bin/sh", tmp_path / krew.BIN]
    done = subprocess.run(run, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "needs Python 3.0" in done.stderr
