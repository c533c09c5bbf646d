"""Which stack is meant: the one in a directory that was named, or else the only one that runs on this machine."""

from collections.abc import Mapping
from pathlib import Path

from directpv_cli.local.machine import processes
from directpv_cli.local.stack import Stack, StackError, load
from directpv_cli.reaching.local_stack import FILE, NATS_URL, STACKS, STATE_DIR, Stacks


def named(directory: Path | None, environment: Mapping[str, str], stacks: Stacks = STACKS) -> Path | None:
    """Return the directory of the stack that was named, by itself or by its URL; None if none was.

    Args:
        directory: What ``--state-dir`` or DIRECTPV_STATE_DIR gave.
        environment: DIRECTPV_NATS_URL is looked at.
        stacks: Those of this machine.

    Raises:
        StackError: There is no stack at that URL, or the two variables name different ones.
    """
    url = environment.get(NATS_URL, "")
    if directory is not None:
        from_environment = str(directory) == environment.get(STATE_DIR)
        if from_environment and (wrong := stacks.disagreement(environment, url)):
            raise StackError(wrong)
        return directory.absolute()
    if not url:
        return None
    found = stacks.directory_at(url)
    if found is None:
        raise StackError(f"{NATS_URL}: no stack of this machine is at {url}; give --state-dir, or unset it")
    return found


def running() -> list[str]:
    """Return the directories of the stacks that run on this machine."""
    return sorted(each for each in processes.by_stack() if (Path(each) / FILE).exists())


def find(given: Path | None, usual: Path) -> Stack:
    """Return the stack in ``given``; None: the one in the usual directory, or the only one that runs elsewhere.

    Raises:
        StackError: There is none, or there are several; names them.
    """
    if given is not None or (usual / FILE).exists():
        return load(given or usual)
    found = running()
    if len(found) == 1:
        return load(Path(found[0]))
    if found:
        raise StackError(f"several stacks run here, say which: {'; '.join(f'--state-dir {each}' for each in found)}")
    return load(usual)


def require(given: Path | None, usual: Path) -> Path:
    """Return the directory of the stack to take down, which is never guessed.

    Raises:
        StackError: There is none in it; names those that run.
    """
    directory = given or usual
    if given is None and not (usual / FILE).exists() and (found := running()):
        commands = "; ".join(f"directpv down --state-dir {each}" for each in found)
        raise StackError(f"no stack in {usual}; what runs here is taken down by: {commands}")
    return directory
