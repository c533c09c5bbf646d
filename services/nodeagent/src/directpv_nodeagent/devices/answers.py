"""What devices showed when they were read last: so that scans let disks sleep, and late answers are not lost.

What is on a device that nobody mounts changes only if it is written to, becomes another device or grows. All of that
the kernel tells without asking the device: its number, ``diskseq``, size, counters of writes and discards, udev's
record. A disk that several machines share may be written to by another one: whoever formats reads anew. Reads memory
only.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from time import monotonic
from typing import Final, Generic, TypeVar

from directpv_nodeagent.devices.core.facts import DeviceFacts
from directpv_nodeagent.devices.sysfs import Roots, names_in, read_text, requests_done

C = TypeVar("C")
_WHAT: Final = 5
"""So many fields of a state tell which device it is, and what it carries as far as udev and the kernel know."""
_SEQUENCE: Final = 1
"""``diskseq``; before Linux 5.15 a disk may be exchanged for one of its size without a trace in the others."""


@dataclass(frozen=True, slots=True)
class _Answer(Generic[C]):
    at: float
    state: tuple[Hashable, ...]
    used: bool
    content: C


class Answers(Generic[C]):
    """The last answer of each device."""

    def __init__(self, roots: Roots) -> None:
        self._roots = roots
        self._last: dict[str, _Answer[C]] = {}

    def kept(self, facts: DeviceFacts, read: Callable[[], C]) -> Callable[[], C]:
        """Return what calls ``read`` and keeps what it returns, even if nobody waits for it any more."""

        def call() -> C:
            state = self._state(facts)  # before: what is written meanwhile makes the answer an old one
            content = read()
            self._last[facts.name] = _Answer(monotonic(), state, _is_used(facts), content)
            return content

        return call

    def unchanged(self, facts: DeviceFacts) -> C | None:
        """Return the content of a device that nobody uses, if it was read and has not changed since."""
        answer, state = self._last.get(facts.name), self._state(facts)
        if answer is None or _is_used(facts) or answer.state != state or not state[_SEQUENCE]:
            return None
        return answer.content if self._counted(facts) else None

    def late(self, facts: DeviceFacts, within: float) -> C | None:
        """Return what a device that did not answer in time has answered afterwards, ``within`` seconds ago at most.

        Not what it showed before it was mounted, or given up: it may have been formatted in between.
        """
        answer = self._last.get(facts.name)
        if answer is None or monotonic() - answer.at > within or answer.used is not _is_used(facts):
            return None
        return answer.content if answer.state[:_WHAT] == self._state(facts)[:_WHAT] else None

    def _counted(self, facts: DeviceFacts) -> bool:
        """Tell whether the kernel counts what is written to a device; administrators turn that off to save time."""
        names = (facts.disk or facts.name, *names_in(self._roots.block(facts.name) / "slaves"))
        return all(read_text(self._roots.block(name) / "queue/iostats") != "0" for name in names)

    def _state(self, facts: DeviceFacts) -> tuple[Hashable, ...]:
        """Return what must stay as it is; the first fields tell which device it is, the others what happened to it."""
        block = self._roots.block(facts.name)
        disk = self._roots.block(facts.disk or facts.name)
        below = names_in(block / "slaves")
        return (
            facts.major_minor,
            read_text(disk / "diskseq"),
            facts.size,
            tuple(sorted(facts.udev.items())),
            facts.holders,
            tuple(requests_done(self._roots, name)[1:3] for name in (facts.name, facts.disk, *below) if name),
        )


def _is_used(facts: DeviceFacts) -> bool:
    return bool(facts.mount_points or facts.swap)
