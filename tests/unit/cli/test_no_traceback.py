"""Whatever is typed, whatever a file holds, wherever the output goes: a line or a table, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGIN = Path(sys.executable).with_name("kubectl-directpv")
LOCAL = Path(sys.executable).with_name("directpv")
NOWHERE = "nats://127.0.0.1:1"


def run(command: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    given = {"PLUGIN": str(PLUGIN), "LOCAL": str(LOCAL), "DIRECTPV_NATS_URL": NOWHERE, "HOME": str(cwd), **environment}
    return subprocess.run(
        ["bash", "-c", command],
        cwd=cwd,
        env={**os.environ, **given},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=60,
    )


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "binary").write_bytes(bytes(range(256)) * 8)
    (tmp_path / "empty").touch()
    (tmp_path / "yaml").write_text("version: v1\nnodes: [{name: n1, drives: [{id: x, name: sda, select: 'yes'}]}]\n")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("command", "status"),
    [
        ("$PLUGIN init missing --dangerous", 255),
        ("$PLUGIN init binary --dangerous", 255),
        ("$PLUGIN init empty --dangerous", 255),
        ("$PLUGIN init folder --dangerous", 255),
        ("$PLUGIN init yaml --dangerous", 1),
        ("$PLUGIN list drives --nats-nkey binary", 1),
        ("$PLUGIN list drives --nats-nkey folder", 1),
        ("$PLUGIN list drives --nats-nkey missing", 1),
        ("$PLUGIN list drives --nats-url 'nats://[::1'", 1),
        ("$PLUGIN list drives --nats-url ':'", 1),
        ("$PLUGIN list drives --nats-url 'x y'", 1),
        ("$PLUGIN list drives --subject-prefix 'a b'", 255),
        ("$PLUGIN list drives --sort-by '{'", 255),
        ("$PLUGIN list drives -o jsonpath='{.items[?(@.a=='", 255),
        ("$PLUGIN list drives $'\\xff\\xfe'", 255),
        ("$PLUGIN list volumes $'\\xff\\xfe'", 1),
        ("$PLUGIN describe node $'\\e[31m'", 1),
        ("$PLUGIN events --since 99999999999d", 255),
        ("$PLUGIN explain device sda", 255),
        ("$PLUGIN list drives --no-such-flag", 1),
        ("DIRECTPV_NATS_URL= KUBECONFIG=missing $PLUGIN list drives", 1),
        ("DIRECTPV_NATS_URL= KUBECONFIG=binary PATH=/nonexistent $PLUGIN list drives", 1),
        ("$PLUGIN --help > /dev/full", 1),
        ("$PLUGIN completion bash > /dev/full", 1),
        ("$PLUGIN install -o yaml --kube-version 1.37 > /dev/full", 1),
        ("$PLUGIN --help >&-", 0),
        ("$PLUGIN list drives 2>&-", 1),
        ("$PLUGIN list drives 2>/dev/full", 1),
        ("PYTHONIOENCODING=ascii $PLUGIN list drives $'\\xc3\\xbc'", 255),
        ("LC_ALL=C PYTHONUTF8=0 PYTHONCOERCECLOCALE=0 $PLUGIN describe volume $'\\xe5\\x90\\x8d'", 1),
        ("$LOCAL status --state-dir binary", 1),
        ("$LOCAL down --state-dir missing", 1),
        ("mkdir s; cp binary s/stack.json; $LOCAL status --state-dir s", 1),
        ("$LOCAL up --size big", 1),
    ],
)
def test_every_input_ends_in_a_line_and_an_exit_status(command: str, status: int, files: Path) -> None:
    done = run(command, files)

    assert "Traceback" not in done.stderr
    assert "DIRECTPV_DEBUG" not in done.stderr, done.stderr
    assert done.returncode == status, done.stderr
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("lines", [1, 100_000])
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_reader_that_goes_is_told_by_one_status_however_much_there_is_to_print(lines: int, stream: str) -> None:
    program = (
        "import sys, typer\nfrom directpv_cli.showing.terminal.ending import ended\n"
        "app = typer.Typer(add_completion=False)\n"
        "@app.command()\n"
        "def verb():\n"
        "    input()\n"
        f"    for _ in range({lines}): sys.{stream}.write('x' * 80 + chr(10))\n"
        "ended(app)\n"
    )
    kept = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, stream: subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, **kept) as process:
        reader = process.stdout or process.stderr
        assert reader is not None
        reader.close()
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.close()
        assert process.wait(60) == 141


def test_what_nobody_foresaw_is_one_line_and_a_traceback_only_on_request(tmp_path: Path) -> None:
    program = (
        "from directpv_cli.showing.terminal.ending import ended\n"
        "def fails(): raise KeyError('what\\nnobody foresaw')\n"
        "ended(fails)\n"
    )
    plain, wanted = (
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "DIRECTPV_DEBUG": debug},
            capture_output=True,
            text=True,
            timeout=60,
        )
        for debug in ("", "1")
    )
    assert (plain.returncode, len(plain.stderr.splitlines())) == (1, 1)
    assert "KeyError" in plain.stderr
    assert "Traceback" in wanted.stderr


def test_an_output_that_knows_only_ascii_gets_the_rest_as_escapes(tmp_path: Path) -> None:
    program = (
        "from directpv_cli.showing.terminal import tables\nfrom directpv_cli.showing.terminal.ending import ended\n"
        "ended(lambda: tables.show(['MAKE'], [['Ger\\xe4t \\udcff']]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONIOENCODING": "ascii:strict"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[1] == "Ger\\xe4t \\udcff"
