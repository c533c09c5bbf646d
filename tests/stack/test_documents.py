"""Every example line of the documents is run: here on a stack, or by the tests that a table names."""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from directpv_cli.local.csi_client import creation
from directpv_common.protocol.units import MIB
from stack.running import BIN, SECONDS, drives, plugin
from support.cluster import Cluster, cluster, in_thread
from unit.documents.commands import TOP, Line, documents, examples

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]

ELSEWHERE = {
    r"directpv (up|down)\b": "tests/stack/test_local.py",
    r"kubectl directpv (install|uninstall)\b": "tests/integration/kubernetes_install",
    r".* rotate\b": "tests/integration/kubernetes_install/test_rotate.py",
    r".* console\b": "tests/console",
    r".* init\b": "tests/stack/test_plugin.py",
    r".* events\b.* --watch\b": "tests/integration/cli_events/test_events.py",
    r".* explain pvc\b": "tests/integration/cli_reach/test_reach.py",
    r".* clean --all\b": "tests/integration/kubernetes_registry/test_clean.py",
    r".* migrate\b": "tests/integration/kubernetes_registry/test_migrate.py",
    r"directpv volume\b": "tests/stack/test_tool.py",
}
"""Lines, and the tests that run them."""
REFUSED = {
    r".* locate\b": "the kernel shows no locate light",
    r".* remove node\b": "is there",
    r".* remove\b.*--lost\b": "is Ready, and is not given up",
}
"""Lines that are refused here with these words: the disks have no lights, and all is well."""
ENDS = {r".* top\b": "--rounds=2"}
"""What is added to lines that go on until somebody ends them."""
EXAMPLES = sorted({" ".join(line.words): line for path in documents() for line in examples(path)}.items())


def run_by(words: str) -> str:
    """Return the tests that run a line; empty if it is run here."""
    return next((tests for pattern, tests in ELSEWHERE.items() if re.match(pattern, words)), "")


HERE = [line for words, line in EXAMPLES if not run_by(words)]


def test_what_is_run_elsewhere_is_run_by_tests_that_are_there_and_name_the_verb() -> None:
    for words, _ in EXAMPLES:
        if place := run_by(words):
            files = [TOP / place] if place.endswith(".py") else sorted((TOP / place).glob("*.py"))
            verb = next(word for word in words.split()[1:] if word != "directpv")
            assert any(re.search(rf"\b{verb}\b", file.read_text()) for file in files), f"{place} does not run {words}"


@pytest.fixture(scope="module")
def large() -> Iterator[Cluster]:
    """A stack that many lines may take drives from, with a volume."""

    async def filled(stack: Cluster) -> None:
        await stack.initialise()
        async with stack.csi() as client:
            for name in ("pvc-1", "pvc-released"):
                await client.controller.CreateVolume(creation(name, 16 * MIB))
        there = await drives(stack)
        freed = max(there, key=lambda each: there[each]["freeCapacity"])  # directories come later than reservations
        assert (await plugin(stack, "remove", freed, "--wipe=zero")).returncode == 0, "a device that discover finds"

    with cluster(nodes=2, drives=8, drive_size=512 * MIB) as stack:
        in_thread(lambda: asyncio.run(filled(stack)))
        yield stack


@pytest.mark.parametrize("line", HERE, ids=lambda line: line.where)
async def test_an_example_does_what_it_says(line: Line, large: Cluster, tmp_path: Path) -> None:
    words = await filled(large, line)
    stack = large.stack
    env = {**os.environ, "DIRECTPV_NATS_URL": stack.nats_url, "DIRECTPV_STATE_DIR": str(stack.directory)}
    program = "directpv" if words[0] == "directpv" else "kubectl-directpv"
    rest = words[2:] if words[0] == "kubectl" else words[1:]
    done = subprocess.run(
        [BIN / program, *rest], env=env, cwd=tmp_path, capture_output=True, text=True, timeout=SECONDS, check=False
    )
    said = done.stdout + done.stderr
    if "discover" in words:
        print(line, done.stdout)
    refusal = next((text for pattern, text in REFUSED.items() if re.match(pattern, " ".join(words))), "")
    assert (done.returncode, refusal in said) == (1 if refusal else 0, True), said
    assert "Traceback" not in said


async def filled(running: Cluster, line: Line) -> tuple[str, ...]:
    """Put what is there in the place of names that stand for something: a drive is an empty one that is in use."""
    held = running.volume_dirs()
    there = await drives(running)
    empty = [each for each in there if not held.get(each) and there[each]["status"] == "Ready"]
    on_first = [each for each in empty if there[each].get("nodeName", "node-1") == "node-1"] or empty
    first = running.stack.nodes[0].devices[0]
    listed = await plugin(running, "list", "drives", "--nodes=node-1", "-o", "json")
    used = json.loads(listed.stdout)["items"][0]["metadata"]["labels"]["directpv.min.io/drive-name"]
    meant = {
        "DRIVE": empty[0],
        "<drive id>": empty[0],
        "TO": on_first[-1],
        "NODE": "node-1",
        "NODE/DEVICE": f"node-1/{first}",
        "node-1/sda": on_first[0],
        "node-1/sdb": on_first[-1],
        "node-2/sdb": f"node-2/{running.stack.nodes[1].devices[1]}",
        "nvme{0...3}n1": re.sub(r"(\d)$", r"{\1...\1}", used),
        "VOLUME": "pvc-released" if "clean" in line.words else "pvc-1",
    }
    text = [meant.get(word, word) for word in line.words]
    joined = "\0".join(text).replace("<drive\0id>", empty[0])
    ends = [flag for pattern, flag in ENDS.items() if re.match(pattern, " ".join(line.words))]
    return (*joined.split("\0"), *ends)
