"""Flags of ``install`` in, checked choices out: each error names its flag. No I/O."""

import re
from collections.abc import Sequence
from typing import Any, Final, get_args
from urllib.parse import urlsplit

from directpv_cli.install.objects.images import resolve
from directpv_cli.install.objects.kube_version import parse_kube_version
from directpv_cli.install.objects.options import KUBELET_DIR, Flags, OnOff, OnPredictedFailure, Options
from directpv_common.protocol.subjects import Subjects

EFFECTS: Final = ("NoSchedule", "PreferNoSchedule", "NoExecute")

_NAME_PART: Final = re.compile(r"[a-zA-Z0-9]([-a-zA-Z0-9_.]{0,61}[a-zA-Z0-9])?\Z")
_DNS_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?\Z")
_PROFILE: Final = re.compile(r"[a-zA-Z0-9_][-a-zA-Z0-9_./]*\Z")
_PATH: Final = re.compile(r"(/[-a-zA-Z0-9_.]+)+\Z")


def parse(flags: Flags) -> Options:
    """Check ``flags``.

    Raises:
        ValueError: Names the flag, what is wrong with it, and how it should look.
    """
    overrides = dict(_pair(item, "--sidecar-image", "NAME=IMAGE") for item in _items(flags.sidecar_images))
    return Options(
        images=resolve(flags.registry, flags.org, flags.image, overrides=overrides, openshift=flags.openshift),
        node_selector=parse_node_selector(flags.node_selector),
        control_node_selector=parse_node_selector(flags.control_node_selector, "--control-node-selector"),
        tolerations=[parse_toleration(item) for item in _items(flags.tolerations)],
        pull_secrets=[{"name": _dns_name(item, "--image-pull-secrets")} for item in _items(flags.image_pull_secrets)],
        apparmor_profile=_profile(flags.apparmor_profile, "--apparmor-profile"),
        seccomp_profile=_profile(flags.seccomp_profile, "--seccomp-profile"),
        kube_version=parse_kube_version(flags.kube_version),
        openshift=flags.openshift,
        kubelet_dir=_kubelet_dir(flags.kubelet_dir),
        init_requests=_one_of("--init-requests", flags.init_requests, OnOff),
        on_predicted_failure=_one_of("--on-predicted-failure", flags.on_predicted_failure, OnPredictedFailure),
        subject_prefix=_prefix(flags.subject_prefix),
        otlp_endpoint=_endpoint(flags.otlp_endpoint),
        **_nats(flags),
    )


def parse_node_selector(items: Sequence[str], flag: str = "--node-selector") -> dict[str, str]:
    """Return the labels that a node must have; items are ``KEY=VALUE``, several by commas, given by ``flag``.

    Raises:
        ValueError: Not a label.
    """
    selector: dict[str, str] = {}
    for item in _items(items):
        key, value = _pair(item, flag, "KEY=VALUE")
        _label_key(key, flag)
        _label_value(value, flag)
        if selector.setdefault(key, value) != value:
            raise ValueError(f"{flag}: {key} is given twice, as {selector[key]!r} and {value!r}; a node has one value")
    return selector


def parse_toleration(item: str) -> dict[str, str]:
    """Return a toleration as pods have it; ``item`` is ``KEY[=VALUE]:EFFECT``.

    Raises:
        ValueError: Not a toleration.

    >>> parse_toleration("storage=only:NoSchedule")
    {'key': 'storage', 'operator': 'Equal', 'value': 'only', 'effect': 'NoSchedule'}
    """
    flag = "--tolerations"
    taint, colon, effect = item.rpartition(":")
    if not colon:
        raise ValueError(f"{flag}: {item!r} has no effect; use KEY[=VALUE]:EFFECT, such as storage=only:NoSchedule")
    if effect not in EFFECTS:
        raise ValueError(f"{flag}: {item!r}: effect {effect!r} is unknown; use one of {', '.join(EFFECTS)}")
    key, equals, value = taint.partition("=")
    _label_key(key, flag)
    _label_value(value, flag)
    if not equals:
        return {"key": key, "operator": "Exists", "effect": effect}
    return {"key": key, "operator": "Equal", "value": value, "effect": effect}


def _items(values: Sequence[str]) -> list[str]:
    """Return what was given by repeating the flag or by commas, without blanks around."""
    return [item.strip() for value in values for item in value.split(",") if item.strip()]


def _pair(item: str, flag: str, shape: str) -> tuple[str, str]:
    key, equals, value = item.partition("=")
    if not equals or not key:
        raise ValueError(f"{flag}: {item!r} is not {shape}")
    return key, value


def _label_key(key: str, flag: str) -> None:
    prefix, slash, name = key.rpartition("/")
    if not _NAME_PART.match(name) or (slash and not _DNS_NAME.match(prefix)):
        raise ValueError(
            f"{flag}: {key!r} is no label key; it has at most 63 letters, digits, '-', '_', '.', and may have a DNS "
            "name and '/' before"
        )


def _label_value(value: str, flag: str) -> None:
    if value and not _NAME_PART.match(value):
        raise ValueError(f"{flag}: {value!r} is no label value; it has at most 63 letters, digits, '-', '_', '.'")


def _dns_name(name: str, flag: str) -> str:
    if not _DNS_NAME.match(name):
        raise ValueError(f"{flag}: {name!r} is no name of an object; use lower-case letters, digits, '-' and '.'")
    return name


def _profile(name: str, flag: str) -> str:
    if name and (not _PROFILE.match(name) or ".." in name.split("/")):
        raise ValueError(f"{flag}: {name!r} is no profile of a node; use its name, or its path below kubelet's folder")
    return name


def _kubelet_dir(path: str) -> str:
    clean = path.rstrip("/")
    if not _PATH.match(clean) or {".", ".."} & set(clean.split("/")):
        raise ValueError(
            f"KUBELET_DIR_PATH: {path!r} is no folder of kubelet; use its real absolute path (no link), such as "
            f"{KUBELET_DIR}"
        )
    return clean


def _one_of(flag: str, value: str, known: Any) -> Any:
    if value not in get_args(known):
        raise ValueError(f"{flag}: {value!r}; use one of {', '.join(get_args(known))}")
    return value


def _prefix(prefix: str) -> str:
    try:
        Subjects(prefix)
    except ValueError as error:
        raise ValueError(f"--subject-prefix: {error}") from error
    return prefix


def _nats(flags: Flags) -> dict[str, Any]:
    if flags.nats_replicas not in (1, 3):
        raise ValueError(f"--nats-replicas: {flags.nats_replicas}; use 3, or 1 on a cluster of one node")
    if not 1 <= flags.controller_replicas <= 9:
        raise ValueError(f"--controller-replicas: {flags.controller_replicas}; use 1 to 9")
    if flags.nats_leaf_url and not flags.nats_url:
        raise ValueError("--nats-leaf-url: belongs to a NATS of your own; give its --nats-url, too")
    return {
        "nats_url": _urls(flags.nats_url, "--nats-url", ("nats", "tls"), "nats://nats.example:4222"),
        "nats_leaf_url": _urls(
            flags.nats_leaf_url, "--nats-leaf-url", ("nats-leaf", "nats", "tls"), "nats-leaf://nats.example:7422"
        ),
        "nats_replicas": flags.nats_replicas,
        "controller_replicas": flags.controller_replicas,
    }


def _endpoint(text: str) -> str:
    """Check the URL of a collector; empty: none."""
    if text and not re.fullmatch(r"https?://[-a-zA-Z0-9.:\[\]]+(/[-a-zA-Z0-9._/]*)?", text):
        raise ValueError(
            f"--otlp-endpoint: {text!r} is no URL of a collector; use for instance http://otel.example:4318"
        )
    return text


def _urls(text: str, flag: str, schemes: Sequence[str], example: str) -> str:
    """Check comma-separated URLs; user and password would be readable in the pods' definitions, and are refused."""
    urls = _items([text])
    for url in urls:
        try:
            parts = urlsplit(url)
            good = parts.scheme in schemes and bool(parts.hostname) and parts.port is not None and not parts.path
        except ValueError:
            good = False
        if not good or not re.fullmatch(r"[-a-zA-Z0-9+.:/\[\]@]+", url):
            raise ValueError(f"{flag}: {url!r} is no URL of a NATS server; use for instance {example}")
        if "@" in url:
            raise ValueError(f"{flag}: a user or password in {url.partition('@')[2]!r}'s URL would be readable by all")
    return ",".join(urls)
