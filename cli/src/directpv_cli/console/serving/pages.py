"""The pages that show: fleet, nodes, drives, volumes."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from directpv_cli.console.core.bays import SHOWN, racks
from directpv_cli.console.serving.site import Site
from directpv_cli.showing.health import lines_of


def routes(site: Site) -> list[Route]:
    """Return the routes of these pages, below the site's root."""

    async def fleet(request: Request) -> Response:
        picture = await site.keeper.shown()
        found = racks(picture, {})
        shown, hidden = found[:SHOWN], max(0, len(found) - SHOWN)
        lines = lines_of(picture.heard)
        return site.render(request, "fleet.html", picture, lines=lines, racks=shown, hidden=hidden)

    return [Route("/", fleet)]
