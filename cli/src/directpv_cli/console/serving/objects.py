"""The pages of one: a node as a rack, a drive with its history, a volume."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import directpv_common.protocol.messages as m
from directpv_cli.console.core import facts, telling
from directpv_cli.console.core.attention import of_drive, of_node
from directpv_cli.console.core.bays import rack
from directpv_cli.console.core.history import charts
from directpv_cli.console.core.picture import Picture
from directpv_cli.console.serving.site import Site
from directpv_cli.reading.event_filter import EventFilter
from directpv_cli.showing import whys
from directpv_common.bus.cloud_event import CloudEvent

LIVE = "picture events samples"


def routes(site: Site) -> list[Route]:
    """Return the routes of these pages, below the site's root."""
    history = site.gauges.history

    def lately(keep: EventFilter) -> list[CloudEvent]:
        return telling.about(site.tape.events, keep)

    async def node(request: Request) -> Response:
        picture, name = await site.keeper.shown(), request.path_params["name"]
        found = picture.by_node.get(name) or (picture := await site.keeper.fresh()).by_node.get(name)
        if found is None:
            return site.missing(request, f"No node is called {name}.")
        told = lately(EventFilter(nodes=frozenset({name}), types=("node", "drive", "device")))
        return site.render(
            request, "node.html", picture, rack=rack(picture, found, history.disks), facts=facts.of_node(found),
            items=of_node(picture, found), told=_rows(told), topics=LIVE,
        )  # fmt: skip

    async def drive(request: Request) -> Response:
        picture, fsuuid = await site.keeper.shown(), request.path_params["fsuuid"]
        found = picture.by_id.get(fsuuid) or (picture := await site.keeper.fresh()).by_id.get(fsuuid)
        if found is None:
            return site.missing(request, f"No drive has the id {fsuuid}; it may have been removed.")
        told = lately(EventFilter(drives=frozenset({fsuuid})))
        volumes = sorted(picture.volumes_of.get(fsuuid, ()), key=lambda each: each.record.name)
        disk = history.disks.get(fsuuid)
        return site.render(
            request, "drive.html", picture, drive=found, facts=facts.of_drive(found), disk=facts.of_disk(disk),
            items=list(of_drive(found)), why=whys.of_drive(found, told), charts=charts(history.points(fsuuid)),
            volumes=volumes, used=history.volumes, told=_rows(told), moves=_moves(picture, fsuuid), topics=LIVE,
        )  # fmt: skip

    async def volume(request: Request) -> Response:
        picture, name = await site.keeper.shown(), request.path_params["name"]
        found = picture.by_name.get(name) or (picture := await site.keeper.fresh()).by_name.get(name)
        if found is None:
            return site.missing(request, f"No volume is called {name}; it may have been deleted.")
        told = lately(EventFilter(volumes=frozenset({name})))
        drive = picture.by_id.get(found.record.fsuuid)
        moves = [each for each in picture.moves if each.name == name]
        of_drive_ = lately(EventFilter(drives=frozenset({found.record.fsuuid}), types=("drive",)))
        return site.render(
            request, "volume.html", picture, volume=found, facts=facts.of_volume(found), drive=drive, moves=moves,
            why=whys.of_volume(found, drive, of_drive_), used=history.volumes.get(name), told=_rows(told), topics=LIVE,
            others=_others(picture, drive, found),
        )  # fmt: skip

    return [
        Route("/nodes/{name}", node),
        Route("/drives/{fsuuid}", drive),
        Route("/volumes/{name}", volume),
    ]


def _rows(told: list[CloudEvent]) -> list[telling.Row]:
    return [telling.row(event) for event in reversed(told)]


def _moves(picture: Picture, fsuuid: str) -> list[m.MoveStatus]:
    return [each for each in picture.moves if fsuuid in (each.source, each.target)]


def _others(picture: Picture, drive: m.DriveInfo | None, volume: m.VolumeInfo) -> list[m.DriveInfo]:
    """Return the drives that a volume could be moved to, as far as one can tell from here."""
    if drive is None:
        return []
    size, here = volume.record.capacity, picture.drives_of.get(drive.record.node, [])
    ready = [each for each in here if each.record.status is m.DriveStatus.READY and not each.record.unschedulable]
    return [each for each in ready if each is not drive and each.free >= size]
