"""Stands before a CSI service: deadline, trace, errors and account, so that no method mentions any of them."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from google.protobuf.message import Message
from grpclib.const import Handler, Status
from grpclib.exceptions import GRPCError
from grpclib.server import Stream

from directpv_common.calls.context import TRACE_HEADER, call_context
from directpv_common.protocol.errors import InvalidRequest
from directpv_csi_gateway.adapters.calls import Call, Calls

Method = Callable[[Any], Awaitable[Message]]
Methods = Mapping[str, Method]
"""Name of an RPC to what answers it: takes the request, returns the reply, raises the errors of the library."""

DEFAULT_SECONDS: Final = 30.0
"""Limit of a call whose caller sets none."""
LONGEST_SECONDS: Final = 600.0
"""Nobody waits longer for one volume; sidecars and kubelet repeat."""
MARGIN_SECONDS: Final = 0.5
"""We give up so long before the caller does, or a tenth of its time, so that it gets our reason and not a timeout."""
SAME_MOMENT_SECONDS: Final = 0.05
"""A call that its caller ends so shortly before its deadline has run out of time; both clocks tick by themselves."""


Describe = Callable[[Any], dict[str, Handler]]
"""``__mapping__`` of a service base that the grpclib plugin wrote."""


class _Names:
    """Stands in for a service when only the names of its methods are wanted."""

    def __getattr__(self, name: str) -> str:
        return name


class Guard:
    """Serves ``methods`` as the service that ``describe`` describes; other RPCs of it are UNIMPLEMENTED."""

    def __init__(self, describe: Describe, methods: Methods, calls: Calls) -> None:
        """Raises TypeError when ``methods`` has a name that the service does not know."""
        self._described = describe(_Names())
        self._methods = methods
        self._calls = calls
        unknown = set(methods) - {handler.func for handler in self._described.values()}
        if unknown:
            raise TypeError(f"the service has no RPC {', '.join(sorted(unknown))}")

    def __mapping__(self) -> dict[str, Handler]:
        """Return what grpclib serves: path to handler."""
        return {path: handler._replace(func=self._guarded(handler.func)) for path, handler in self._described.items()}

    def _guarded(self, name: str) -> Callable[[Stream[Any, Any]], Awaitable[None]]:
        method = self._methods.get(name) or _unimplemented(name)
        calls = self._calls

        async def guarded(stream: Stream[Any, Any]) -> None:
            call = Call(name)
            with (
                calls.in_flight.call(),
                call_context(within=_within(stream), traceparent=_traceparent(stream), name=f"csi {name}"),
                calls.account(call),
            ):
                try:
                    request = await stream.recv_message()
                    if request is None:
                        raise InvalidRequest(f"{name}: the call has no request message")
                    call.about(getattr(request, "volume_id", "") or getattr(request, "name", ""))
                    await stream.send_message(await method(request))
                finally:
                    call.deadline_passed = _passed(stream)

        return guarded


def _within(stream: Stream[Any, Any]) -> float:
    """Return the seconds that the work may take; 0 or less when the caller has gone."""
    if stream.deadline is None:
        return DEFAULT_SECONDS
    left = stream.deadline.time_remaining()
    return min(left - min(MARGIN_SECONDS, left / 10), LONGEST_SECONDS)


def _passed(stream: Stream[Any, Any]) -> bool:
    return stream.deadline is not None and stream.deadline.time_remaining() < SAME_MOMENT_SECONDS


def _traceparent(stream: Stream[Any, Any]) -> str | None:
    value = stream.metadata.get(TRACE_HEADER) if stream.metadata else None
    return value if isinstance(value, str) else None


def _unimplemented(name: str) -> Method:
    async def refuse(request: Message) -> Message:
        raise GRPCError(Status.UNIMPLEMENTED, f"{name} is not offered; see the capabilities that the driver declares")

    return refuse
