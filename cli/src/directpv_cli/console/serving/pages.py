"""The pages of many: fleet, nodes, drives, volumes. One look at the picture for each."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from directpv_cli.console.core import table
from directpv_cli.console.core.bays import SHOWN, racks
from directpv_cli.console.core.table import Query
from directpv_cli.console.serving.site import Site
from directpv_cli.showing.health import lines_of


def routes(site: Site) -> list[Route]:
    """Return the routes of these pages, below the site's root."""

    async def fleet(request: Request) -> Response:
        picture = await site.keeper.shown()
        found = racks(picture, site.gauges.history.disks)
        shown, hidden = found[:SHOWN], max(0, len(found) - SHOWN)
        lines = lines_of(picture.heard)
        return site.render(request, "fleet.html", picture, lines=lines, racks=shown, hidden=hidden)

    async def nodes(request: Request) -> Response:
        picture = await site.keeper.shown()
        query = Query.of(request.query_params)
        page = table.page_of(table.NODES, racks(picture, site.gauges.history.disks), query)
        return site.render(request, "nodes.html", picture, page=page, query=page.query)

    async def drives(request: Request) -> Response:
        picture = await site.keeper.shown()
        page = table.page_of(table.DRIVES, picture.drives, Query.of(request.query_params))
        facts: dict[str, Any] = {"states": table.DRIVE_STATES, "columns": table.DRIVE_COLUMNS}
        return site.render(request, "drives.html", picture, page=page, query=page.query, **facts)

    async def volumes(request: Request) -> Response:
        picture = await site.keeper.shown()
        used = site.gauges.history.volumes
        page = table.page_of(table.volumes_of(used), picture.volumes, Query.of(request.query_params))
        facts: dict[str, Any] = {
            "states": table.VOLUME_STATES,
            "columns": table.VOLUME_COLUMNS,
            "used": used,
        }
        return site.render(request, "volumes.html", picture, page=page, query=page.query, **facts)

    return [Route("/", fleet), Route("/nodes", nodes), Route("/drives", drives), Route("/volumes", volumes)]
