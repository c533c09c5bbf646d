"""Kills work at each of its steps in turn."""

import fcntl
import os
import traceback
from collections.abc import Callable
from typing import Any

CHANGING = ("mkdir", "rename", "unlink", "rmdir", "fsync", "fchmod", "symlink", "setxattr", "removexattr")
KILLED, DONE = 9, 0

FSUUID = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
"""Of the drive that is worked on."""


def dies_at(step: int, work: Callable[[], object]) -> bool:
    """Do ``work`` in a process that is killed at its ``step``-th change; tell whether it died."""
    child = os.fork()
    if child == 0:
        try:
            _arm(step)
            work()
            os._exit(DONE)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (KILLED, DONE)
    return code == KILLED


def _arm(step: int) -> None:
    left = [step]

    def counted(call: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                os._exit(KILLED)
            return call(*args, **kwargs)

        return wrapped

    for name in CHANGING:
        setattr(os, name, counted(getattr(os, name)))
    fcntl.ioctl = counted(fcntl.ioctl)  # type: ignore[assignment]


def every_crash(prepare: Callable[[], None], work: Callable[[], object], check: Callable[[], None]) -> int:
    """Let ``work`` die at each of its steps in turn, and ``check`` after each death; return how many there were."""
    for step in range(1, 500):
        prepare()
        died = dies_at(step, work)
        check()
        if not died:
            return step - 1
    raise AssertionError("it never got through")
