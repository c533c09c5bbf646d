"""Commands in what is shown, as they can be typed here."""

import functools
import shutil


def typeable(text: str) -> str:
    """Return ``text`` with commands as they can be typed here: without kubectl its plugin is a program of its own.

    Services and advice name the plugin as one does in a cluster. No text becomes longer or shorter.
    """
    return text if _has_kubectl() else text.replace("kubectl directpv ", "kubectl-directpv ")


@functools.cache
def _has_kubectl() -> bool:
    return shutil.which("kubectl") is not None
