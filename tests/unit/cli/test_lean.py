"""A verb loads what it needs, and no more: half of its time went into what it never used."""

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from directpv_cli.reading import lean_typer  # noqa: F401
from directpv_cli.reading.statuses import USAGE_ERROR

HEAVY = (
    "pydantic",
    "rich",
    "aiohttp",
    "yaml",
    "kubernetes_asyncio",
    "grpclib",
    "starlette",
    "uvicorn",
    "jinja2",
    "directpv_controller",
    "directpv_common.crd",
    "directpv_cli.install",
)


@pytest.mark.parametrize(
    ("words", "needed"),
    [(["--help"], ("asyncio", "nats", "msgspec")), (["list", "drives", "--nats-url=nats://127.0.0.1:1"], ())],
)
def test_help_and_a_list_load_nothing_that_they_do_not_use(words: list[str], needed: tuple[str, ...]) -> None:
    program = (
        "import sys, atexit\n"
        f"heavy = {(*HEAVY, *needed)!r}\n"
        "atexit.register(lambda: print(*[each for each in heavy if each in sys.modules], file=sys.stderr))\n"
        f"sys.argv = ['kubectl-directpv', *{words!r}]\n"
        "from directpv_cli.__main__ import main\nmain()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr.splitlines()[-1] == "", done.stderr


def test_flags_are_read_as_what_they_are_declared_to_be() -> None:
    app = typer.Typer()
    seen: dict[str, object] = {}

    @app.command()
    def verb(
        path: Annotated[Path, typer.Option()] = Path("x"),
        number: Annotated[int, typer.Option()] = 0,
        words: Annotated[list[str] | None, typer.Option()] = None,
        yes: Annotated[bool, typer.Option("--yes")] = False,
        ratio: Annotated[float, typer.Option()] = 1.0,
        small: Annotated[int, typer.Option(max=3)] = 1,
        least: Annotated[int, typer.Option(min=0)] = 1,
    ) -> None:
        seen.update(locals())

    given = ["--path", "a/b", "--number", "7", "--words", "a", "--words", "b", "--yes", "--ratio", "2.5"]
    assert CliRunner().invoke(app, given).exit_code == 0
    wanted = {"path": Path("a/b"), "number": 7, "words": ["a", "b"], "yes": True, "ratio": 2.5, "small": 1}
    assert {name: seen[name] for name in wanted} == wanted
    assert CliRunner().invoke(app, []).exit_code == 0
    assert seen["words"] is None
    for bad in (["--number", "x"], ["--ratio", "x"], ["--small", "9"], ["--least", "-1"]):
        refused = CliRunner().invoke(app, bad)
        assert (refused.exit_code, bad[0] in refused.output) == (USAGE_ERROR, True)
