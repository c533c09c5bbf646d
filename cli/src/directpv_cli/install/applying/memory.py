"""Which flags an installation was made with: a repeat that leaves one out undoes its effect, and says so. No I/O."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any, Final

from directpv_cli.install.objects.base import Object
from directpv_cli.install.objects.options import Flags
from directpv_common.protocol.names import GROUP

ANNOTATION: Final = f"{GROUP}/install-flags"
"""Of the namespace: JSON, the flags that were given, by their names."""
_NAMES: Final = {"sidecar_images": "--sidecar-image", "kubelet_dir": "KUBELET_DIR_PATH"}


def given(flags: Flags) -> dict[str, Any]:
    """Return the flags that are not as they are by themselves; versions and numbers are looked up in the cluster."""
    usual = Flags()
    own = asdict(replace(flags, kube_version=usual.kube_version, nats_replicas=3, controller_replicas=3))
    return {
        _NAMES.get(name, f"--{name.replace('_', '-')}"): value
        for name, value in own.items()
        if value != getattr(usual, name)
    }


def noted(items: Sequence[Object], flags: Flags) -> list[Object]:
    """Return the objects with a note of ``flags`` on the namespace."""
    return [_with_note(item, flags) if item["kind"] == "Namespace" else item for item in items]


def _with_note(item: Object, flags: Flags) -> Object:
    meta = item["metadata"]
    note = {ANNOTATION: json.dumps(given(flags), sort_keys=True)}
    return {**item, "metadata": {**meta, "annotations": {**meta.get("annotations", {}), **note}}}


def forgotten(namespace: Object | None, flags: Flags) -> list[str]:
    """Return the flags, as they are written, of the last installation that this one does not have."""
    text = ((namespace or {}).get("metadata", {}).get("annotations") or {}).get(ANNOTATION, "{}")
    try:
        before = json.loads(text)
    except ValueError:
        return []
    now = given(flags)
    return [_written(name, value) for name, value in before.items() if name not in now] if before else []


def _written(name: str, value: object) -> str:
    if value is True:
        return name
    return f"{name}={','.join(map(str, value)) if isinstance(value, list) else value}"
