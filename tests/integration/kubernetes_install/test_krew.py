"""The archive for krew, unpacked and run as krew installs it: behind a link, with nothing but its own libraries."""

import os
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import yaml

from directpv_cli.install import krew

TOP = Path(__file__).resolve().parents[3]
PLATFORM = f"linux-{ {'x86_64': 'amd64', 'aarch64': 'arm64'}[os.uname().machine] }"
VERSION = ".".join(map(str, sys.version_info[:2]))


@pytest.mark.timeout(600)
def test_the_plugin_runs_from_its_archive(tmp_path: Path) -> None:
    command = [TOP / "scripts/krew-archive", str(tmp_path / "dist"), f"--platform={PLATFORM}", f"--python={VERSION}"]
    subprocess.run(command, check=True, timeout=580)
    [platform] = yaml.safe_load((tmp_path / "dist/directpv.yaml").read_text())["spec"]["platforms"]
    archive = tmp_path / "dist" / platform["uri"].rpartition("/")[2]
    digest = subprocess.run(["sha256sum", archive], check=True, capture_output=True, text=True, timeout=30).stdout
    assert digest.split()[0] == platform["sha256"]
    home, links = tmp_path / "store" / "directpv" / "v0", tmp_path / "bin"
    home.mkdir(parents=True)
    links.mkdir()
    with tarfile.open(archive) as content:
        content.extractall(home, filter="data")
    (links / krew.BIN).symlink_to(home / platform["bin"])
    env = {"PATH": "/usr/bin:/bin", "DIRECTPV_PYTHON": sys.executable, "HOME": str(tmp_path)}
    run = [links / krew.BIN, "install", "-o", "yaml"]
    done = subprocess.run(run, env=env, cwd="/", capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == (TOP / "manifests/directpv.yaml").read_text()
    nowhere = [links / krew.BIN, "install", "--kubeconfig=/nonexistent"]
    done = subprocess.run(nowhere, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr.count("/nonexistent")) == (1, 1)


def test_without_a_fitting_python_the_launcher_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / krew.BIN).write_text(krew.launcher(("3.0",)))
    run = ["/bin/sh", tmp_path / krew.BIN]
    done = subprocess.run(run, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert "needs Python 3.0" in done.stderr
