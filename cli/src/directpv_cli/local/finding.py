"""Which stack is meant: the one in a directory that was named, or else the only one that runs on this machine."""

from pathlib import Path

from directpv_cli.local import processes
from directpv_cli.local.stack import FILE, Stack, StackError, load


def running() -> list[str]:
    """Return the directories of the stacks that run on this machine."""
    return sorted(each for each in processes.by_stack() if (Path(each) / FILE).exists())


def find(named: Path | None, usual: Path) -> Stack:
    """Return the stack in ``named``; None: the one in the usual directory, or the only one that runs elsewhere.

    Raises:
        StackError: There is none, or there are several; names them.
    """
    if named is not None or (usual / FILE).exists():
        return load(named or usual)
    found = running()
    if len(found) == 1:
        return load(Path(found[0]))
    if found:
        raise StackError(f"several stacks run here, say which: {'; '.join(f'--state-dir {each}' for each in found)}")
    return load(usual)


def require(named: Path | None, usual: Path) -> Path:
    """Return the directory of the stack to take down, which is never guessed.

    Raises:
        StackError: There is none in it; names those that run.
    """
    directory = named or usual
    if named is None and not (usual / FILE).exists() and (found := running()):
        commands = "; ".join(f"directpv down --state-dir {each}" for each in found)
        raise StackError(f"no stack in {usual}; what runs here is taken down by: {commands}")
    return directory
