"""What all our custom resources have in common. Objects are plain dictionaries, as JSON has them."""

import functools
import re
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, TypeVar

import msgspec
import orjson

import directpv_common.protocol.messages as m
from directpv_common.crd.labels import is_label
from directpv_common.protocol import names
from directpv_common.protocol.epochs import epoch_in, may_be_followed
from directpv_common.protocol.errors import InvalidRequest
from directpv_common.protocol.reasons import reason_for

Object = dict[str, Any]
T = TypeVar("T")

OWN: Final = f"registry.{names.GROUP}"
RECORD: Final = f"{OWN}/record"
"""Annotation with what we know and upstream's schema has no place for."""
EPOCH: Final = f"{OWN}/epoch"
"""Annotation with the epoch of the leader that wrote the object last."""
DATA_PROTECTION: Final = f"{names.GROUP}/data-protection"
PV_PROTECTION: Final = f"{names.GROUP}/pv-protection"
PURGE_PROTECTION: Final = f"{names.GROUP}/purge-protection"
MESSAGE_MAX: Final = 32_768
"""Characters of a condition's message that Kubernetes takes."""

_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)\Z")
_LONG_AGO: Final = "1970-01-01T00:00:00Z"


class Rest(msgspec.Struct, frozen=True, kw_only=True, gc=False, omit_defaults=True):
    """What an object holds that is not ours to decide, and is written back as it was found."""

    annotations: dict[str, str] = {}
    finalizers: tuple[str, ...] = ()
    owners: tuple[Object, ...] = ()
    spec: Object = {}
    status: Object = {}
    conditions: tuple[Object, ...] = ()
    reasons: dict[str, str] = {}
    """Kubernetes' reason of each condition that is ours, of a kind that this version does not know."""
    held: tuple[str, ...] | None = None
    """Deletion was asked for: the finalizers that were there then. Kubernetes takes no new ones."""


NOTHING: Final = Rest()
_OURS: Final = frozenset({RECORD, EPOCH})


def rest_of(obj: Object, ours: Sequence[str], **found: Any) -> Rest:
    """Return what is foreign in the metadata of ``obj``; finalizers that begin with one of ``ours`` are not."""
    meta = obj["metadata"]
    present: list[str] = meta.get("finalizers") or []
    annotations: dict[str, str] = meta.get("annotations") or {}
    finalizers = tuple(each for each in present if not each.startswith(tuple(ours)))
    held = tuple(present) if meta.get("deletionTimestamp") else None
    owners = meta.get("ownerReferences")
    if not (finalizers or owners or held is not None or annotations.keys() - _OURS or any(found.values())):
        return NOTHING  # as nearly all objects: a million of them share it
    foreign = {key: value for key, value in annotations.items() if key not in _OURS}
    return Rest(annotations=foreign, finalizers=finalizers, owners=tuple(owners or ()), held=held, **found)


def metadata(
    name: str, labels: Mapping[str, str], finalizers: Sequence[str], extra: Object, rest: Rest, epoch: int
) -> Object:
    """Return the metadata of an object; ``extra`` goes into our annotation."""
    wanted = [*finalizers, *rest.finalizers]
    if rest.held is not None:
        wanted = [each for each in wanted if each in rest.held]
    annotations = {**rest.annotations, EPOCH: str(epoch)}
    if extra:
        annotations[RECORD] = orjson.dumps(extra, option=orjson.OPT_SORT_KEYS).decode()
    meta: Object = {"name": name, "labels": dict(labels), "annotations": annotations, "finalizers": wanted}
    if rest.owners:
        meta["ownerReferences"] = list(rest.owners)
    return meta


def extra_of(obj: Object) -> Object:
    """Return what our annotation says; empty for objects that upstream wrote."""
    text = (obj["metadata"].get("annotations") or {}).get(RECORD)
    try:
        found = orjson.loads(text) if text else {}
    except orjson.JSONDecodeError as error:
        raise InvalidRequest(f"annotation {RECORD}: {error}", field=RECORD) from error
    return found if isinstance(found, dict) else {}


def epoch_of(obj: Object) -> int | None:
    """Return the epoch of the leader that wrote ``obj`` last; None: it was none of ours."""
    return epoch_in((obj["metadata"].get("annotations") or {}).get(EPOCH))


def odd_epoch(obj: Object) -> str:
    """Return what stands on ``obj`` as an epoch, and is none that a leader may follow; empty if all is well."""
    epoch, text = epoch_of(obj), (obj["metadata"].get("annotations") or {}).get(EPOCH, "")
    return "" if epoch is not None and may_be_followed(epoch) else text


def split_labels(labels: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """Return labels that Kubernetes takes, and those that it does not."""
    fit = {key: value for key, value in labels.items() if is_label(key, value)}
    return fit, {key: value for key, value in labels.items() if key not in fit}


def understood(read: Callable[..., T]) -> Callable[..., T]:
    """Let ``read(obj, …)`` raise InvalidRequest, with the object's name, for whatever is wrong with ``obj``."""

    @functools.wraps(read)
    def guarded(obj: Object, **options: Any) -> T:
        try:
            return read(obj, **options)
        except (msgspec.ValidationError, KeyError, TypeError, AttributeError, ValueError, InvalidRequest) as error:
            name = (obj.get("metadata") or {}).get("name")
            text = f"{type(error).__name__}: {error}" if isinstance(error, KeyError) else str(error)
            raise InvalidRequest(f"{obj.get('kind') or 'object'} {name}: {text}", name=str(name)) from error

    return guarded


def condition_object(condition: m.Condition, reasons: Mapping[str, str] = MappingProxyType({})) -> Object:
    """Return ``condition`` as Kubernetes has it; ``reasons`` are those of kinds that this version does not know."""
    kind = condition.type.value
    return {
        "type": kind,
        "status": "True",
        "reason": reasons.get(kind) or reason_for(condition.type),
        "message": condition.message[:MESSAGE_MAX],
        "lastTransitionTime": condition.since if _TIME.match(condition.since) else _LONG_AGO,
    }
