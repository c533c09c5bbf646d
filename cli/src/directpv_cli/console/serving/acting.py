"""Pages and forms of what can be done: discover, plan, confirm, work. Forms are sent by the pages' script."""

import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from directpv_cli.console.core import table
from directpv_cli.console.core.actions import Plan, read
from directpv_cli.console.core.table import Query
from directpv_cli.console.serving.desk import PLAN_SECONDS
from directpv_cli.console.serving.site import Site


def routes(site: Site) -> list[Route]:
    """Return the routes of what can be done, below the site's root."""
    desk = site.desk

    def led(path: str) -> Response:
        return JSONResponse({"location": f"{site.root}{path}"})

    async def planned(request: Request) -> Response:
        picture = await site.keeper.shown()
        try:
            action, targets, options = read(await _form(request))
            asked = desk.asked(action, targets, options, picture)
        except ValueError as error:
            return _error(400, str(error))
        return led(f"plans/{(await desk.plan(asked, picture)).id}")

    async def plan(request: Request) -> Response:
        found = desk.plans.get(request.path_params["id"])
        if found is None:
            return site.missing(request, "There is no such plan any more.")
        return await site.page(request, "plan.html", plan=found, topics="none")

    async def confirmed(request: Request) -> Response:
        found = desk.plans.get(request.path_params["id"])
        if found is None:
            return _error(404, "there is no such plan any more: make a new one")
        typed = dict(await _form(request)).get("typed", "")
        if why := found.refusal(typed, time.monotonic(), PLAN_SECONDS):
            return _error(409, why)
        came = await desk.confirm(found, await site.keeper.shown())
        return led(f"plans/{came.id}" if isinstance(came, Plan) else f"jobs/{came.id}")

    async def work(request: Request) -> Response:
        found = desk.work.get(request.path_params["id"])
        if found is None:
            return site.missing(request, "There is no such work; the console forgets it when it ends.")
        return await site.page(request, "work.html", work=found, now=time.monotonic(), topics="work")

    async def all_work(request: Request) -> Response:
        found = list(reversed(desk.work.values()))
        return await site.page(request, "works.html", works=found, now=time.monotonic(), topics="work picture")

    async def devices(request: Request) -> Response:
        looked, found = time.monotonic() - desk.looked, desk.found.devices if desk.found is not None else ()
        page = table.page_of(table.DEVICES, found, Query.of(request.query_params))
        facts: dict[str, Any] = {"states": table.DEVICE_STATES, "columns": table.DEVICE_COLUMNS, "topics": "work"}
        return await site.page(request, "discover.html", desk=desk, seen=looked, page=page, query=page.query, **facts)

    async def looked(request: Request) -> Response:
        desk.look()
        return led("discover")

    return [
        Route("/plans", planned, methods=["POST"]),
        Route("/plans/{id}", plan, methods=["GET"]),
        Route("/plans/{id}", confirmed, methods=["POST"]),
        Route("/jobs", all_work),
        Route("/jobs/{id}", work),
        Route("/discover", devices, methods=["GET"]),
        Route("/discover", looked, methods=["POST"]),
    ]


async def _form(request: Request) -> Sequence[tuple[str, str]]:
    """Read a form.

    Raises:
        ValueError: It is none, or longer than any of ours.
    """
    try:
        body = await request.body()
        return parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=bool(body), max_num_fields=10_000)
    except ClientDisconnect:
        raise ValueError("the form is too long") from None
    except ValueError:
        raise ValueError("the form cannot be understood") from None


def _error(status: int, why: str) -> Response:
    return JSONResponse({"error": why}, status)
