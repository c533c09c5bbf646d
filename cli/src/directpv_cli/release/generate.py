"""Writes what is generated in a checkout: ``python -m directpv_cli.release.generate .``."""

import sys
from functools import cache
from pathlib import Path

from directpv_cli.install.chart import render as chart
from directpv_cli.install.objects import manifest
from directpv_cli.install.objects.options import Options
from directpv_cli.release.documents import bus, commands, settings
from directpv_cli.release.monitoring import dashboards, rules


@cache
def files() -> dict[str, str]:
    """Return all generated files by their paths in a checkout."""
    found = {
        "manifests/directpv.yaml": manifest.to_yaml(manifest.objects(Options())),
        "manifests/crds.yaml": manifest.to_yaml(manifest.definitions()),
    }
    folders = {
        "manifests/helm/directpv": chart.files(),
        "manifests/monitoring": rules.manifests(),
        "manifests/monitoring/dashboards": dashboards.files(),
        rules.PAGES: rules.pages(),
        "docs/reference": {"commands.md": commands.page(), "settings.md": settings.page(), **bus.pages()},
    }
    return found | {f"{folder}/{path}": text for folder, within in folders.items() for path, text in within.items()}


def main() -> None:
    """Write them into the checkout that the one argument names."""
    top = Path(sys.argv[1])
    for name, text in files().items():
        path = top / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


if __name__ == "__main__":
    main()
