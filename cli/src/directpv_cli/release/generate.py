"""Writes what ``manifests/`` holds: ``python -m directpv_cli.release.generate manifests``."""

import sys
from pathlib import Path

from directpv_cli.install.chart import render as chart
from directpv_cli.install.objects import manifest
from directpv_cli.install.objects.options import Options


def files() -> dict[str, str]:
    """Return all generated files by their paths below ``manifests/``."""
    found = {
        "directpv.yaml": manifest.to_yaml(manifest.objects(Options())),
        "crds.yaml": manifest.to_yaml(manifest.definitions()),
    }
    return found | {f"helm/directpv/{path}": text for path, text in chart.files().items()}


def main() -> None:
    """Write them below the folder that the one argument names."""
    top = Path(sys.argv[1])
    for name, text in files().items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
