"""The Helm chart, made from the very objects that ``install`` applies: with words in the places of values.

Each object is built once per way of having NATS; where the ways differ, the template has a branch for each. Rendered
with its default values, the chart is the manifest.

Source: Helm documentation, "Charts" and "Template Functions and Pipelines".
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, Final

from directpv_cli.install.chart.texts import BUS_HEAD, CHECKS, HELPERS, NOTES, README
from directpv_cli.install.chart.values import schema, values_file
from directpv_cli.install.objects import images, manifest
from directpv_cli.install.objects.base import (
    HOLDS_PODS,
    NAMESPACE,
    POD_SECURITY,
    UNHEALTHY_POLICY,
    VOLUME_HEALTH,
    Object,
    metadata,
)
from directpv_cli.install.objects.containers import GATEWAY_PORT, VOLUME_CONDITION
from directpv_cli.install.objects.kube_version import NEWEST, OLDEST
from directpv_cli.install.objects.nats import SECRET
from directpv_cli.install.objects.options import Options
from directpv_common import __version__

WAYS: Final = ("cluster", "single", "external", "leaf")
"""How NATS is had: three servers, one, the user's own, the user's own with leaf servers on the nodes."""

_VALUES: Final = {
    "zz-driver:zz-tag": '{{ include "directpv.image" . }}',
    "zz-tag": '{{ include "directpv.tag" . | quote }}',
    "zz-pull-secrets": "{{ toJson .Values.imagePullSecrets }}",
    "/zz-kubelet": '{{ trimSuffix "/" .Values.kubeletDir }}',
    "zz-replicas": "{{ .Values.controller.replicas }}",
    "zz-predicted": "{{ .Values.controller.onPredictedFailure }}",
    "zz-init-requests": "{{ .Values.controller.initRequests }}",
    "zz-prefix": "{{ .Values.subjectPrefix }}",
    "zz-nats-url": "{{ .Values.nats.url }}",
    "zz-leaf-url": '{{ join "\\", \\"" (splitList "," .Values.nats.leafUrl) }}',
    **{f"zz-image-{name}": f'{{{{ include "directpv.sidecar" (list . "{name}") }}}}' for name in images.SIDECARS},
}
"""What stands for a value while objects are built, and what takes its place in the template; longer ones first."""

_PASSAGES: Final = (
    (
        r"^( *)(preventPodSchedulingIfMissing: true\n)",
        rf'\1{{{{- if semverCompare ">={HOLDS_PODS}.0-0" .Capabilities.KubeVersion.Version }}}}\n'
        r"\1\2\1{{- end }}\n",
    ),
    (
        r"^( *)- name: OTEL_EXPORTER_OTLP_ENDPOINT\n *value: zz-otlp\n",
        r"\1{{- with .Values.otlpEndpoint }}\n\1- name: OTEL_EXPORTER_OTLP_ENDPOINT\n\1  value: {{ . | quote }}\n"
        r"\1{{- end }}\n",
    ),
    (
        r"^( *)type: Localhost\n *localhostProfile: zz-seccomp\n",
        r"\1{{- if .Values.seccompProfile }}\n\1type: Localhost\n\1localhostProfile: {{ .Values.seccompProfile }}\n"
        r"\1{{- else }}\n\1type: Unconfined\n\1{{- end }}\n",
    ),
    (
        r"^( *)appArmorProfile:\n *type: Localhost\n *localhostProfile: zz-apparmor\n",
        r"\1{{- with .Values.apparmorProfile }}\n\1appArmorProfile:\n\1  type: Localhost\n"
        r"\1  localhostProfile: {{ . }}\n\1{{- end }}\n",
    ),
    (
        r"^( *)zz-control-label: ''\n( *)(\S+): linux\n",
        r'\1{{- range $key, $value := omit (default dict .Values.controlNodeSelector) "\3" }}\n'
        r"\1{{ $key | quote }}: {{ $value | quote }}\n\1{{- end }}\n\2\3: linux\n",
    ),
    (
        r"^( *)zz-label: ''\n( *)(\S+): linux\n",
        r'\1{{- range $key, $value := omit (default dict .Values.nodeSelector) "\3" }}\n'
        r"\1{{ $key | quote }}: {{ $value | quote }}\n\1{{- end }}\n\2\3: linux\n",
    ),
    (r"tolerations:\n *- zz-toleration\n(?! *- )", r"tolerations: {{ toJson .Values.tolerations }}\n"),
    (
        r"^( *)- zz-toleration\n",
        r"\1{{- range .Values.tolerations }}\n\1- {{ toJson . }}\n\1{{- end }}\n",
    ),
    (
        r"^( *)(unhealthyPodEvictionPolicy: .*\n)",
        rf'\1{{{{- if semverCompare ">={UNHEALTHY_POLICY}.0-0" .Capabilities.KubeVersion.Version }}}}\n'
        r"\1\2\1{{- end }}\n",
    ),
    (
        rf"^( *)(- --metrics-port={GATEWAY_PORT}\n)",
        rf'\1\2\1{{{{- if semverCompare "<{VOLUME_HEALTH}.0-0" .Capabilities.KubeVersion.Version }}}}\n'
        rf"\1- {VOLUME_CONDITION}\n\1{{{{- end }}}}\n",
    ),
)
"""What of an object depends on a value or on the cluster, and what takes its place in the template, in this order."""


def files() -> dict[str, str]:
    """Return the chart's files by their paths."""
    about = {
        "apiVersion": "v2",
        "name": "directpv",
        "description": "CSI driver and volume manager for direct-attached drives",
        "type": "application",
        "version": __version__,
        "appVersion": f"v{__version__}",
        "kubeVersion": f">={OLDEST}.0-0",
    }
    return {
        "Chart.yaml": manifest.to_yaml([about]).removeprefix("---\n"),
        "README.md": _filled(README, _NAMES),
        "values.yaml": values_file(),
        "values.schema.json": json.dumps(schema(), indent=2) + "\n",
        "templates/NOTES.txt": _filled(NOTES, _NAMES),
        "templates/_helpers.tpl": _helpers(),
        "templates/directpv.yaml": _template(),
        "templates/secret.yaml": _secret(),
        "crds/directpv.yaml": manifest.to_yaml(manifest.definitions()),
    }


_NAMES: Final = {"NAMESPACE": NAMESPACE, "SECURITY": POD_SECURITY}


def _filled(text: str, words: Mapping[str, str]) -> str:
    for word, value in words.items():
        text = re.sub(rf"\b{word}\b", value, text)
    return text


def _helpers() -> str:
    def table(entries: Mapping[str, str]) -> str:
        return " ".join(f'"{name}" "{value}"' for name, value in entries.items())

    words = {
        "REGISTRY": images.REGISTRY,
        "ORG": images.ORG,
        "IMAGE": images.IMAGE,
        "OFFICIAL": table(images.SIDECARS),
        "OPENSHIFT": table(images.OPENSHIFT_SIDECARS),
        "HOME": images.SIDECAR_HOME,
    }
    return _filled(HELPERS, words)


def _secret() -> str:
    """Return the template of the secret of the bus: what is in the cluster stays, also when the release goes."""
    item = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata(SECRET, annotations={"helm.sh/resource-policy": "keep"}),
        "type": "Opaque",
        "data": {"secret": "zz-secret"},
    }
    text = manifest.to_yaml([item]).replace("zz-secret", "{{ $secret }}")
    return BUS_HEAD.replace("SECRET", SECRET).replace("NAMESPACE", NAMESPACE) + text + "{{- end }}\n"


def _template() -> str:
    return CHECKS + "".join(_document(*key) for key in _keys())


def _keys() -> list[tuple[str, str]]:
    """Return kind and name of every object of any way, in order of installation."""
    found: dict[tuple[str, str], int] = {}
    for way in WAYS:
        for index, item in enumerate(_objects(way, openshift=True)):
            found.setdefault(_key(item), index)
    return list(found)


def _key(item: Object) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]


def _document(kind: str, name: str) -> str:
    """Return the template of one object: its text, or a branch for each of its texts."""
    texts = [(_text(kind, name, way), way) for way in WAYS]
    groups = [
        (text, [way for _, way in same]) for text, same in groupby(sorted(texts), key=lambda pair: pair[0]) if text
    ]
    blocks = [
        text if len(ways) == len(WAYS) else _when(f'has (include "directpv.nats" .) (list {_quoted(ways)})', text)
        for text, ways in groups
    ]
    text = "".join(blocks)
    if kind == "Namespace":
        # A release in this namespace finds it there: Helm would refuse to make what is not its own.
        return _when(f'and .Values.createNamespace (ne .Release.Namespace "{NAMESPACE}")', text)
    return _when(".Values.openshift", text) if name.endswith("-scc") else text


def _when(condition: str, text: str) -> str:
    return f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"


def _quoted(words: Sequence[str]) -> str:
    return " ".join(f'"{word}"' for word in sorted(words, key=WAYS.index))


def _text(kind: str, name: str, way: str) -> str:
    found = [item for item in _objects(way, openshift=True) if _key(item) == (kind, name)]
    return _templated(manifest.to_yaml(found)) if found else ""


def _templated(text: str) -> str:
    for word, expression in _VALUES.items():
        text = text.replace(word, expression)
    for pattern, passage in _PASSAGES:
        text = re.sub(pattern, passage, text, flags=re.MULTILINE)
    return text


def _objects(way: str, *, openshift: bool) -> list[Object]:
    """Return the objects of one way, the definitions aside, with words in the places of values."""
    word: Any = str
    options = Options(
        images=images.Images("zz-driver:zz-tag", {name: f"zz-image-{name}" for name in images.SIDECARS}),
        node_selector={"zz-label": ""},
        control_node_selector={"zz-control-label": ""},
        tolerations=[word("zz-toleration")],
        pull_secrets=word("zz-pull-secrets"),
        apparmor_profile="zz-apparmor",
        seccomp_profile="zz-seccomp",
        kube_version=NEWEST,
        openshift=openshift,
        kubelet_dir="/zz-kubelet",
        nats_replicas=1 if way == "single" else 3,
        controller_replicas=word("zz-replicas"),
        subject_prefix="zz-prefix",
        on_predicted_failure=word("zz-predicted"),
        init_requests=word("zz-init-requests"),
        otlp_endpoint="zz-otlp",
    )
    if way in ("external", "leaf"):
        options = replace(options, nats_url="zz-nats-url", nats_leaf_url="zz-leaf-url" if way == "leaf" else "")
    return [item for item in manifest.objects(options) if item["kind"] != manifest.CRD]
