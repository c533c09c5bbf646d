"""What every page has: the frame with verdict and age, and the parts that a page's script asks for again."""

from dataclasses import dataclass, field
from typing import Any, Final

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response

from directpv_cli.console.core.actions import ACTIONS
from directpv_cli.console.core.attention import Verdict, verdict
from directpv_cli.console.core.picture import Picture
from directpv_cli.console.serving.desk import Desk
from directpv_cli.console.serving.gauges import Gauges
from directpv_cli.console.serving.hub import Hub
from directpv_cli.console.serving.keeper import Keeper
from directpv_cli.console.serving.link import Link
from directpv_cli.console.serving.rendering import environment
from directpv_cli.console.serving.tape import Tape
from directpv_common import __version__

PAGES: Final = (
    ("", "Fleet"),
    ("nodes", "Nodes"),
    ("drives", "Drives"),
    ("volumes", "Volumes"),
    ("events", "Events"),
    ("discover", "Discover"),
    ("jobs", "Work"),
)
"""What stands at the top of every page: path and title."""


@dataclass
class Site:
    """The console, put together; pages are made of it."""

    root: str
    """Path of the first page, with a slash at both ends."""
    hub: Hub
    link: Link
    keeper: Keeper
    tape: Tape
    gauges: Gauges
    desk: Desk
    templates: Environment = field(default_factory=environment)

    def verdict(self) -> Verdict:
        """Return what is said of the installation now."""
        return verdict(self.keeper.picture, self.keeper.age, self.keeper.silent)

    def missing(self, request: Request, what: str = "There is no such page.", status: int = 404) -> Response:
        """Return a page that says that there is nothing."""
        return self.render(request, "missing.html", self.keeper.picture, status, what=what)

    async def page(self, request: Request, template: str, status: int = 200, **facts: Any) -> Response:
        """Return a page, with what is known at the moment."""
        picture = await self.keeper.shown()
        return self.render(request, template, picture, status, **facts)

    def render(self, request: Request, template: str, picture: Picture, status: int = 200, **facts: Any) -> Response:
        """Return a page about a picture."""
        known = {
            "root": self.root,
            "path": request.url.path.removeprefix(self.root),
            "picture": picture,
            "verdict": self.verdict(),
            "age": self.keeper.age,
            "count": self.hub.count,
            "version": __version__,
            "topics": "picture",
            "pages": PAGES,
            "actions": ACTIONS,
        }
        return HTMLResponse(self.templates.get_template(template).render({**known, **facts}), status)
