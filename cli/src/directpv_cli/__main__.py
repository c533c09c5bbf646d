"""Console scripts ``kubectl-directpv`` and ``kubectl_complete-directpv``."""

import sys

from directpv_cli.reading.global_flags import hoisted
from directpv_cli.showing.terminal.ending import ended


def main() -> None:
    """Run the plugin; kubectl finds it as ``kubectl directpv``."""
    ended(_run)


def _run() -> None:
    words = sys.argv[1:]
    if words[:1] == ["__complete"]:
        _complete(words[1:])
        return
    from directpv_cli.app import app

    app(hoisted(words), prog_name="kubectl directpv")


def complete() -> None:
    """Complete the words of a command line. kubectl calls this program of ``kubectl_complete-directpv``."""
    ended(lambda: _complete(sys.argv[1:]))


def _complete(words: list[str]) -> None:
    from typer.main import get_command

    from directpv_cli.app import app
    from directpv_cli.verbs.completing import completions

    sys.stdout.write("".join(f"{line}\n" for line in completions(get_command(app), words)))


if __name__ == "__main__":
    main()
