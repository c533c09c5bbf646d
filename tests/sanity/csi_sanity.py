"""Runs csi-sanity, the official conformance suite of CSI drivers, and tells how each of its specs ended.

Source: github.com/kubernetes-csi/csi-test, cmd/csi-sanity; the report is Ginkgo's JUnit XML.
"""

import asyncio
import contextlib
import os
import signal
import tomllib
import xml.etree.ElementTree as ET
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "scripts" / "build-csi-sanity"
BUILD_SECONDS = 600
SKIPS = HERE / "skips.toml"
MIB = 1024**2


class SanityError(Exception):
    """csi-sanity could not be built or did not come to an end; the text has its output."""


@dataclass(frozen=True)
class Settings:
    """What to test, and with which sizes."""

    socket: Path
    """Where the driver answers; serves all three CSI services unless ``controller_socket`` is given."""
    work: Path
    """An existing directory: staging and target paths are made below it, and the report is written there."""
    controller_socket: Path | None = None
    size: int = 32 * MIB
    """Bytes per volume; several exist at once."""
    expanded: int = 64 * MIB
    parameters: dict[str, str] = field(default_factory=dict)
    """Storage class parameters for each volume."""
    focus: str = ""
    """Regular expression: run matching specs alone."""


@dataclass(frozen=True)
class Outcome:
    """Names of all specs, by how they ended."""

    passed: frozenset[str]
    failed: dict[str, str]
    """Name to message."""
    skipped: dict[str, str]
    """Name to the reason that csi-sanity gives."""
    output: str


async def build() -> Path:
    """Build csi-sanity unless that was done, and return the program.

    Raises:
        SanityError: No Go, or the build failed; says which.
    """
    status, out, err = await _run([str(BUILD)], dict(os.environ), BUILD_SECONDS)
    if status != 0:
        raise SanityError(err.strip() or f"{BUILD} ended with status {status}")
    return Path(out.strip())


async def run(program: Path, settings: Settings, within: float = 300) -> Outcome:
    """Run all specs against a running driver, as root: volumes are mounted for real.

    Raises:
        SanityError: It was still running after ``within`` seconds, or wrote no report.
    """
    report = settings.work / "csi-sanity.xml"
    status, out, err = await _run(arguments(program, settings, report), dict(os.environ), within)
    if not report.exists():
        raise SanityError(f"csi-sanity ended with status {status} and no report\n{out[-4000:]}\n{err[-4000:]}")
    return read(report, out)


def arguments(program: Path, settings: Settings, report: Path) -> list[str]:
    """Return the command line. The two mount directories must not exist: csi-sanity makes and removes them."""
    parameters = settings.work / "parameters.yaml"
    parameters.write_text("".join(f"{key}: {value!r}\n" for key, value in settings.parameters.items()) or "{}\n")
    controller = [f"--csi.controllerendpoint=unix://{settings.controller_socket}"] if settings.controller_socket else []
    focus = [f"--ginkgo.focus={settings.focus}"] if settings.focus else []
    return [
        str(program),
        f"--csi.endpoint=unix://{settings.socket}",
        *controller,
        f"--csi.mountdir={settings.work / 'target'}",
        f"--csi.stagingdir={settings.work / 'staging'}",
        f"--csi.testvolumesize={settings.size}",
        f"--csi.testvolumeexpandsize={settings.expanded}",
        f"--csi.testvolumeparameters={parameters}",
        f"--ginkgo.junit-report={report}",
        "--ginkgo.no-color",
        *focus,
    ]


def read(report: Path, output: str = "") -> Outcome:
    """Read Ginkgo's JUnit report; specs outside the focus are left out."""
    passed, failed, skipped = set(), {}, {}
    for case in ET.parse(report).getroot().iter("testcase"):
        name, status = case.get("name", "").removeprefix("[It] "), case.get("status")
        if case.get("name", "").startswith("[It]") and status == "passed":
            passed.add(name)
        elif status == "skipped":
            reason = case.find("skipped")
            words = reason.get("message", "") if reason is not None else ""
            if words.removeprefix("skipped").strip(" -"):
                skipped[name] = words.removeprefix("skipped - ")
        elif status not in ("passed", "pending"):
            failed[name] = "\n".join(detail.text or "" for kind in ("failure", "error") for detail in case.iter(kind))
    return Outcome(frozenset(passed), failed, skipped, output)


def expected_skips() -> dict[str, str]:
    """Return name to reason of every spec that asks for a capability that the driver does not declare."""
    table = tomllib.loads(SKIPS.read_text())
    return {name: group["reason"] for group in table["skip"] for name in group["specs"]}


async def _run(argv: list[str], env: dict[str, str], within: float) -> tuple[int, str, str]:
    """Run ``argv``; it and its children are gone afterwards, in any case."""
    process = await asyncio.create_subprocess_exec(
        *argv, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True
    )
    try:
        async with asyncio.timeout(within):
            out, err = await process.communicate()
    except TimeoutError:
        raise SanityError(f"{argv[0]} was still running after {within:.0f} s") from None
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return process.returncode, out.decode(errors="replace"), err.decode(errors="replace")
