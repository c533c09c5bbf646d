"""The page of events: live, by what is asked for, and replayed from the stream."""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from directpv_cli.console.core import telling
from directpv_cli.console.core.telling import REPLAYED, SPANS, Wanted
from directpv_cli.console.serving.site import Site
from directpv_common.protocol.errors import DirectPVError


def routes(site: Site) -> list[Route]:
    """Return the route of the page, below the site's root."""

    async def events(request: Request) -> Response:
        wanted, unread = Wanted.of(request.query_params), site.tape.unread
        if wanted.span == REPLAYED:
            try:
                told = await site.tape.replay(site.link.bus(), wanted)
            except DirectPVError as error:
                told, unread = [], error.message
            rows, topics = [telling.row(event) for event in reversed(told)], "none"
        else:
            rows, topics = telling.newest(site.tape.events, wanted, datetime.now(UTC)), "events"
        facts: dict[str, Any] = {
            "spans": list(SPANS),
            "replayed": REPLAYED,
            "kinds": telling.kinds(),
            "most": telling.SHOWN,
        }
        return await site.page(request, "events.html", wanted=wanted, rows=rows, unread=unread, topics=topics, **facts)

    return [Route("/events", events)]
