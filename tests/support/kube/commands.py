"""What some command lines of kubectl ask an API server for, so that it can be asked without a process for each.

Only what tests use, and only where kubectl would send one request and show its answer.
Source: kubectl reference, ``get``, ``patch``, ``create``; kubernetes.io/docs/reference/kubectl/generated.
"""

import argparse
import json
from collections.abc import Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from support.kube.kinds import BY_WORD, Place, own_place
from support.kube.rest import JSON

_MERGES: Final = {
    "json": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
}


class Request(NamedTuple):
    """One request; ``kind`` is the body's media type."""

    verb: str
    path: str
    body: Any = None
    kind: str = JSON


def request_of(arguments: Sequence[str], given: str = "") -> Request | None:
    """Return what kubectl would ask for with these arguments and this input; None if it is not known here."""
    try:
        asked, unknown = _parser().parse_known_intermixed_args(arguments)  # one parser serves one thread at a time
    except argparse.ArgumentError:
        return None
    verb, *asked.words = asked.words or [""]
    return _VERBS[verb](asked, given) if verb in _VERBS and not unknown else None


def _get(asked: argparse.Namespace, _: str) -> Request | None:
    found = _named(asked.words)
    if found is None or asked.output != "json" or asked.patch:
        return None
    return Request("GET", found[0].path(asked.namespace, found[1]))


def _patch(asked: argparse.Namespace, _: str) -> Request | None:
    found = _named(asked.words)
    if found is None or not asked.patch or asked.output:
        return None
    path = "/".join(filter(None, (found[0].path(asked.namespace, found[1]), asked.subresource)))
    how = urlencode({"fieldManager": asked.field_manager or "kubectl-patch", "fieldValidation": "Strict"})
    return Request("PATCH", f"{path}?{how}", json.loads(asked.patch), _MERGES[asked.type])


def _create(asked: argparse.Namespace, given: str) -> Request | None:
    if asked.words or asked.filename != "-" or asked.output not in ("", "json"):
        return None
    try:
        manifest = json.loads(given)
    except ValueError:  # several, or YAML
        return None
    place = own_place(manifest) or _REVIEWS.get(manifest["kind"])
    if place is None:
        return None
    path = place.path(manifest.get("metadata", {}).get("namespace", asked.namespace))
    how = urlencode({"fieldManager": asked.field_manager or "kubectl-create", "fieldValidation": "Strict"})
    return Request("POST", f"{path}?{how}", manifest)


_VERBS: Final = {"get": _get, "patch": _patch, "create": _create}
_REVIEWS: Final = {"SubjectAccessReview": Place("/apis/authorization.k8s.io/v1", "subjectaccessreviews")}


def _named(words: Sequence[str]) -> tuple[Place, str] | None:
    """Return where one object lies, and its name, from ``pod/a`` or ``pod a``."""
    parts = words[0].split("/") if len(words) == 1 else list(words)
    if len(parts) != 2 or (place := BY_WORD.get(parts[0].lower())) is None:
        return None
    return place, parts[1]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False, allow_abbrev=False)
    parser.add_argument("words", nargs="*")
    parser.add_argument("-n", "--namespace", default="default")
    parser.add_argument("-o", "--output", default="")
    parser.add_argument("-p", "--patch", default="")
    parser.add_argument("-f", "--filename", default="")
    parser.add_argument("--type", default="strategic", choices=_MERGES)
    parser.add_argument("--subresource", default="")
    parser.add_argument("--field-manager", default="")
    return parser
