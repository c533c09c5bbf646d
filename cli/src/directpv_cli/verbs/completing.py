"""``completion bash|zsh|fish``: scripts for shells, which ask the plugin itself for what may follow.

What it answers is what kubectl understands of plugins, too. Source: spf13/cobra, ``__complete``: one candidate per
line, after a tab what it is, and at the end a colon with a directive; 4 stands for: no names of files.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import typer

from directpv_cli.reading.statuses import USAGE_ERROR
from directpv_cli.showing.terminal.lines import fail

NO_FILES: Final = ":4"
FILES: Final = ":0"
VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "--output": ("json", "yaml", "wide", "name", "jsonpath="),
    "--status": ("Ready", "Lost", "Error", "Removed", "Moving", "Repairing", "Pending", "Bounded", "Deleting"),
    "--wipe": ("none", "zero", "discard"),
    "--since": ("15m", "1h", "1d", "7d"),
}
"""What may follow a flag, where it is one of a few words."""
OF_FILES: Final = frozenset({"--kubeconfig", "--nats-nkey", "--output-file"})
SCRIPTS: Final[Mapping[str, str]] = {
    "bash": """\
_kubectl_directpv() {
    local IFS=$'\\n' line
    COMPREPLY=()
    for line in $("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null); do
        [[ $line == :0 ]] && COMPREPLY+=($(compgen -f -- "${COMP_WORDS[COMP_CWORD]}"))
        [[ $line == :* ]] || COMPREPLY+=("${line%%$'\\t'*}")
    done
}
complete -F _kubectl_directpv kubectl-directpv
""",
    "zsh": """\
#compdef kubectl-directpv
_kubectl_directpv() {
    local -a found
    local line
    for line in "${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        [[ $line == :0 ]] && _files
        [[ $line == :* ]] || found+=("${${line//:/\\\\:}/$'\\t'/:}")
    done
    _describe kubectl-directpv found
}
compdef _kubectl_directpv kubectl-directpv
""",
    "fish": """\
function __kubectl_directpv
    set -l words (commandline -opc) (commandline -ct)
    $words[1] __complete $words[2..-1] 2>/dev/null | string match -rv '^:'
end
complete -c kubectl-directpv -f -a '(__kubectl_directpv)'
""",
}

Shell = Annotated[str, typer.Argument(metavar="bash|zsh|fish", help="Which shell.")]


def completion(shell: Shell) -> None:
    """Print what makes a shell complete.

    \b
    For instance, in the file that each shell reads when it starts:
      source <(kubectl-directpv completion bash)
      source <(kubectl-directpv completion zsh)
      kubectl-directpv completion fish | source

    For `kubectl directpv`, kubectl asks the program kubectl_complete-directpv, which is installed beside the plugin.
    """
    if shell not in SCRIPTS:
        fail(f"{shell!r} is no shell that is known here; use one of {', '.join(SCRIPTS)}", USAGE_ERROR)
    typer.echo(SCRIPTS[shell], nl=False)


def completions(command: Any, words: Sequence[str]) -> Iterator[str]:
    """Yield what may stand in place of the last of ``words``, and the directive.

    Args:
        command: The plugin's command, with ``params`` and, of a group, ``commands``.
        words: What was typed after the plugin's name; the last one is incomplete, possibly empty.
    """
    *before, last = words or ("",)
    known, waiting = _flags(command), None
    for word in before:
        if waiting is not None:
            waiting = None
        elif word.startswith("-"):
            flag = known.get(word)
            waiting = flag if flag is not None and not flag.is_flag else None
        elif word in getattr(command, "commands", {}):
            command = command.commands[word]
            known |= _flags(command)
    if waiting is not None:
        yield from _values(waiting, last)
        return
    yield from _words(command, known, last)
    yield FILES if _takes_file(command) and not last.startswith("-") else NO_FILES


def _flags(command: Any) -> dict[str, Any]:
    return {name: param for param in command.params if hasattr(param, "is_flag") for name in param.opts}


def _values(flag: Any, last: str) -> Iterator[str]:
    name = next(each for each in flag.opts if each.startswith("--"))
    yield from (value for value in VALUES.get(name, ()) if value.lower().startswith(last.lower()))
    yield FILES if name in OF_FILES else NO_FILES


def _words(command: Any, known: Mapping[str, Any], last: str) -> Iterator[str]:
    if last.startswith("-"):
        for name in sorted(known):
            if name.startswith("--") and name.startswith(last) and not known[name].hidden:
                yield f"{name}\t{_first_line(known[name].help)}"
        return
    for name, inner in getattr(command, "commands", {}).items():
        if name.startswith(last) and not inner.hidden:
            yield f"{name}\t{_first_line(inner.help)}"


def _first_line(text: str | None) -> str:
    return next(iter((text or "").strip().splitlines()), "")


def _takes_file(command: Any) -> bool:
    return any(getattr(param, "metavar", None) == "DRIVES.YAML" for param in command.params)
