"""Values of the Helm chart: their defaults, what is said about them, and what Helm checks them against."""

from typing import Any, Final

from directpv_cli.install.objects import images, manifest
from directpv_cli.install.objects.base import Object
from directpv_cli.install.objects.options import KUBELET_DIR
from directpv_common.protocol.subjects import DEFAULT_PREFIX


def values() -> Object:
    """Return the values and their defaults."""
    return {
        "createNamespace": True,
        "registry": "",
        "org": "",
        "image": "",
        "sidecarImages": {},
        "imagePullSecrets": [],
        "nodeSelector": {},
        "controlNodeSelector": {},
        "tolerations": [],
        "apparmorProfile": "",
        "seccompProfile": "",
        "openshift": False,
        "kubeletDir": KUBELET_DIR,
        "subjectPrefix": DEFAULT_PREFIX,
        "otlpEndpoint": "",
        "nats": {"url": "", "leafUrl": "", "replicas": 3, "createSecret": True},
        "controller": {"replicas": 3, "onPredictedFailure": "report", "initRequests": "on"},
    }


_COMMENTS: Final = {
    "createNamespace": "of a release in another namespace: make the namespace directpv; false: it exists, labelled\n"
    "# pod-security.kubernetes.io/enforce: privileged",
    "registry": "registry and org of all images; empty: sidecars are the official ones of registry.k8s.io",
    "image": "name and tag of our image",
    "sidecarImages": "whole images of sidecars, by name: csi-provisioner, csi-resizer, csi-node-driver-registrar, "
    "livenessprobe",
    "imagePullSecrets": "a list such as [{name: registry-key}]",
    "nodeSelector": "labels of the nodes that have drives",
    "controlNodeSelector": "labels of the nodes for controllers and NATS, which have the secret of the bus",
    "tolerations": "of all pods; those of the nodes stay for every NoExecute anyway",
    "apparmorProfile": "of the node's containers; Kubernetes 1.30 or later",
    "seccompProfile": "of the node agent, below kubelet's folder of profiles",
    "openshift": "Red Hat's sidecars, and bindings to its security context constraints",
    "kubeletDir": "real path of kubelet's folder on the nodes",
    "subjectPrefix": "of all NATS subjects of this installation",
    "otlpEndpoint": "where an OpenTelemetry collector takes traces over HTTP; empty: none are made",
    "nats": "url and leafUrl of a NATS of your own; replicas 3, or 1 on a cluster of one node; createSecret false:\n"
    "# the Secret directpv-bus is there already, or charts are rendered without a cluster",
    "controller": "onPredictedFailure: report or cordon; initRequests: on or off",
}


def schema() -> Object:
    """Return what Helm checks values against."""

    def choice(*known: Any) -> Object:
        return {"enum": list(known)}

    text, yes_no = {"type": "string"}, {"type": "boolean"}
    nested: dict[str, Object] = {
        "nats": _table(url=text, leafUrl=text, replicas=choice(1, 3), createSecret=yes_no),
        "controller": _table(
            replicas={"type": "integer", "minimum": 1, "maximum": 9},
            onPredictedFailure=choice("report", "cordon"),
            initRequests=choice("on", "off"),
        ),
        "sidecarImages": _table(**dict.fromkeys(images.SIDECARS, text)),
        "nodeSelector": {"type": "object", "additionalProperties": text},
        "controlNodeSelector": {"type": "object", "additionalProperties": text},
        "tolerations": {"type": "array", "items": {"type": "object"}},
        "imagePullSecrets": {"type": "array", "items": _table(name=text)},
        "kubeletDir": {"type": "string", "pattern": "^(/[-a-zA-Z0-9_.]+)+/?$"},
    }
    kinds = {key: yes_no if isinstance(default, bool) else text for key, default in values().items()}
    return {"$schema": "http://json-schema.org/draft-07/schema#", **_table(**{**kinds, **nested, "global": {}})}


def _table(**properties: Object) -> Object:
    return {"type": "object", "additionalProperties": False, "properties": properties}


def values_file() -> str:
    """Return the values and their defaults as a file that explains them."""
    parts = []
    for key, default in values().items():
        comment = f"# {_COMMENTS[key]}\n" if key in _COMMENTS else ""
        parts.append(comment + manifest.to_yaml([{key: default}]).removeprefix("---\n"))
    return "".join(parts).replace("initRequests: 'on'", 'initRequests: "on"')
