"""Packs the plugin for krew: an archive per platform, and the manifest that names them.

An archive holds a launcher, the licence, and ``lib`` with the plugin and everything that it imports. Compiled modules
carry the version of Python in their names, so that one folder serves all versions; the launcher takes the first that
fits.

Source: krew documentation, "Developing kubectl plugins" and "Plugin Manifest"; Python packaging, "Platform
compatibility tags".
"""

import argparse
import gzip
import hashlib
import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

import directpv_cli
import directpv_common
from directpv_cli.install.objects.base import Object
from directpv_cli.install.objects.manifest import to_yaml
from directpv_common import __version__

PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS: Final = {
    "linux-amd64": ("manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux_2_28_x86_64"),
    "linux-arm64": ("manylinux_2_17_aarch64", "manylinux2014_aarch64", "manylinux_2_28_aarch64"),
    "darwin-amd64": ("macosx_10_9_x86_64", "macosx_10_13_x86_64", "macosx_10_15_x86_64", "macosx_10_9_universal2"),
    "darwin-arm64": ("macosx_11_0_arm64", "macosx_10_15_universal2", "macosx_10_9_universal2"),
}
"""Platforms of krew, and the tags of wheels that run there."""
ROOTS: Final = (
    "typer",
    "rich",
    "pyyaml",
    "orjson",
    "msgspec",
    "nats-py",
    "kubernetes-asyncio",
    "prometheus-client",
    "starlette",
    "uvicorn",
    "sse-starlette",
    "jinja2",
)
"""What the plugin imports; what these need comes along."""
BIN: Final = "kubectl-directpv"

_LAUNCHER: Final = """\
#!/bin/sh
# Runs the plugin in lib/ beside this file, with the first Python that it was packed for; DIRECTPV_PYTHON names another.
self=$0
while [ -L "$self" ]; do
    target=$(readlink "$self")
    case $target in /*) self=$target ;; *) self=$(dirname "$self")/$target ;; esac
done
home=$(cd "$(dirname "$self")" && pwd -P)
start='import sys; sys.path.insert(0, sys.argv.pop(1)); from directpv_cli.__main__ import main; main()'
for python in ${DIRECTPV_PYTHON:-} python3 COMMANDS; do
    case $("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) in
        VERSIONS) exec "$python" -I -S -c "$start" "$home/lib" "$@" ;;
    esac
done
echo "kubectl directpv needs Python SHOWN; install one, or name it in DIRECTPV_PYTHON" >&2
exit 1
"""


def launcher(pythons: Sequence[str] = PYTHONS) -> str:
    """Return the program that krew links to."""
    text = _LAUNCHER.replace("COMMANDS", " ".join(f"python{version}" for version in reversed(pythons)))
    return text.replace("VERSIONS", " | ".join(pythons)).replace("SHOWN", ", ".join(pythons))


def plugin_manifest(digests: dict[str, str], base_url: str) -> Object:
    """Return krew's manifest; ``digests`` has the SHA-256 of each platform's archive."""
    platforms = []
    for platform, digest in digests.items():
        system, _, machine = platform.partition("-")
        platforms.append(
            {
                "selector": {"matchLabels": {"os": system, "arch": machine}},
                "uri": f"{base_url}/v{__version__}/{archive_name(platform)}",
                "sha256": digest,
                "bin": BIN,
            }
        )
    return {
        "apiVersion": "krew.googlecontainertools.github.com/v1alpha2",
        "kind": "Plugin",
        "metadata": {"name": "directpv"},
        "spec": {
            "version": f"v{__version__}",
            "homepage": base_url,
            "shortDescription": "Manage drives and volumes of DirectPV",
            "description": (
                "Installs DirectPV, a CSI driver for direct-attached drives, and manages its drives and volumes:\n"
                "discovers, formats, lists, labels, cordons and repairs them, and shows their events.\n"
            ),
            "caveats": f"Needs Python, one of {', '.join(PYTHONS)}, on the PATH.\n",
            "platforms": platforms,
        },
    }


def archive_name(platform: str) -> str:
    """Return the file name of a platform's archive."""
    return f"{BIN}_v{__version__}_{platform.replace('-', '_')}.tar.gz"


def pins(roots: Iterable[str] = ROOTS) -> list[str]:
    """Return the closure of ``roots``, each at the version that this environment has.

    Raises:
        PackageNotFoundError: One is not installed here.
    """
    from packaging.requirements import Requirement

    found: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        distribution = metadata.distribution(name)
        key = distribution.metadata["Name"].lower().replace("_", "-")
        if key in found:
            continue
        found[key] = distribution.version
        needs = map(Requirement, distribution.requires or ())
        waiting += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return [f"{name}=={version}" for name, version in sorted(found.items())]


def fill(lib: Path, platform: str, pythons: Sequence[str], wanted: Sequence[str]) -> None:
    """Put the plugin and what it imports into ``lib``.

    Raises:
        CalledProcessError: pip cannot get a wheel.
    """
    for version in pythons:
        tags = [f"--platform={tag}" for tag in (*PLATFORMS[platform], "any")]
        with tempfile.TemporaryDirectory() as one:
            command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target", one]
            options = ["--only-binary=:all:", "--implementation=cp", f"--python-version={version}", *tags]
            subprocess.run([*command, *options, *wanted], check=True)
            shutil.copytree(one, lib, dirs_exist_ok=True, ignore=shutil.ignore_patterns("bin", "__pycache__"))
    for package, leave_out in ((directpv_cli, ("local",)), (directpv_common, ())):
        source = Path(str(package.__file__)).parent
        ignored = shutil.ignore_patterns("__pycache__", *leave_out)
        shutil.copytree(source, lib / source.name, dirs_exist_ok=True, ignore=ignored)


def pack(top: Path) -> bytes:
    """Return a tar archive of ``top``; the same files give the same bytes."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for path in sorted(each for each in top.rglob("*") if each.is_file()):
            entry = tarfile.TarInfo(str(path.relative_to(top)))
            entry.size = path.stat().st_size
            entry.mode = 0o755 if path.name == BIN and path.parent == top else 0o644
            with path.open("rb") as content:
                archive.addfile(entry, content)
    return gzip.compress(raw.getvalue(), mtime=0)


def build(target: Path, licence: Path, platforms: Sequence[str], pythons: Sequence[str], base_url: str) -> None:
    """Write an archive per platform, and ``directpv.yaml``, into ``target``."""
    target.mkdir(parents=True, exist_ok=True)
    digests = {}
    for platform in platforms:
        with tempfile.TemporaryDirectory() as work:
            top = Path(work)
            fill(top / "lib", platform, pythons, pins())
            (top / BIN).write_text(launcher(pythons))
            shutil.copy(licence, top / "LICENSE")
            content = pack(top)
        (target / archive_name(platform)).write_bytes(content)
        digests[platform] = hashlib.sha256(content).hexdigest()
    (target / "directpv.yaml").write_text(to_yaml([plugin_manifest(digests, base_url)]).removeprefix("---\n"))


def main() -> None:
    """Command line of ``scripts/krew-archive``."""
    parser = argparse.ArgumentParser(prog="krew-archive", description="Pack kubectl directpv for krew.")
    parser.add_argument("target", type=Path, help="folder for the archives and directpv.yaml")
    parser.add_argument("--platform", action="append", choices=PLATFORMS, help="only this one; may be repeated")
    parser.add_argument("--python", action="append", choices=PYTHONS, help="only this version; may be repeated")
    parser.add_argument("--licence", type=Path, default=Path("LICENSE"))
    parser.add_argument("--base-url", default="https://directpv.example/releases", help="where releases are found")
    given = parser.parse_args()
    build(given.target, given.licence, given.platform or list(PLATFORMS), given.python or PYTHONS, given.base_url)


if __name__ == "__main__":
    main()
