"""The stream that tells open pages what changed, so that they ask for their parts again.

Source: WHATWG HTML, server-sent events.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, Final

from sse_starlette.sse import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from directpv_cli.console.serving.site import Site

BEAT_SECONDS: Final = 5.0
"""A page that hears nothing for longer knows that the console is gone."""
CALM_SECONDS: Final = 0.3
"""Between two changes that are told."""


def routes(site: Site) -> list[Route]:
    """Return the route of the stream."""

    async def live(request: Request) -> Response:
        return EventSourceResponse(_told(site), ping=60, sep="\n")

    return [Route("/live", live)]


async def _told(site: Site) -> AsyncIterator[dict[str, Any]]:
    """Yield what changed, or nothing as a beat, with the verdict and the age of the picture."""
    with site.hub.listening() as listener:
        site.keeper.nudge()
        while not site.hub.closed:
            topics = await listener.news(BEAT_SECONDS)
            yield {"data": json.dumps({"topics": topics, **_facts(site)})}
            await asyncio.sleep(CALM_SECONDS)


def _facts(site: Site) -> dict[str, Any]:
    """Return what stands at the top of every page."""
    said, age = site.verdict(), site.keeper.age
    return {
        "age": round(age, 1),
        "level": said.level,
        "word": said.word,
        "staleAfter": site.keeper.picture.stale_after,
        "count": site.hub.count,
    }
