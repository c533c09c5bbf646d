"""Flags of every verb, which may stand before it or after it, as with kubectl. Pure."""

from collections.abc import Sequence
from typing import Final

FLAGS: Final = {
    "--nats-url": True,
    "--nats-nkey": True,
    "--kubeconfig": True,
    "--context": True,
    "--subject-prefix": True,
    "--quiet": False,
    "--plain": False,
    "--version": False,
}
"""Whether each takes a value."""
OWN: Final = {
    "install": frozenset({"--nats-url", "--kubeconfig", "--quiet"}),
    "uninstall": frozenset({"--kubeconfig", "--quiet"}),
    "rotate": frozenset({"--kubeconfig", "--quiet"}),
}
"""Verbs that have flags of these names themselves."""


def hoisted(words: Sequence[str]) -> list[str]:
    """Return the words of a command line with the flags of every verb before the verb.

    >>> hoisted(["list", "drives", "--kubeconfig", "k", "--all", "--quiet"])
    ['--kubeconfig', 'k', '--quiet', 'list', 'drives', '--all']
    """
    front: list[str] = []
    rest: list[str] = []
    verb = ""
    left = list(words)
    while left:
        word = left.pop(0)
        if word == "--":
            rest += [word, *left]
            break
        name, equals, _ = word.partition("=")
        if name in FLAGS and name not in OWN.get(verb, frozenset()):
            takes = FLAGS[name] and not equals
            front += [word, *([left.pop(0)] if takes and left else [])]
            continue
        verb = verb or ("" if word.startswith("-") else word)
        rest.append(word)
    return [*front, *rest]
