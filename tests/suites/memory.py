"""How long each suite took the last time, for estimates: a file below ``.cache``."""

import contextlib
import json
from pathlib import Path


class Memory:
    """Seconds by mode and name; what is not known falls back to the figure given."""

    def __init__(self, path: Path, mode: str) -> None:
        """Read the file, if it is there.

        Args:
            path: Of the file.
            mode: Whose figures: those of a run of all tests are others.
        """
        self._path, self._mode = path, mode
        self._all: dict[str, dict[str, float]] = {}
        with contextlib.suppress(OSError, ValueError):
            self._all = json.loads(path.read_text())

    def seconds(self, name: str, otherwise: float) -> float:
        """Return what ``name`` took the last time."""
        return float(self._all.get(self._mode, {}).get(name, otherwise))

    def keep(self, name: str, seconds: float) -> None:
        """Note what ``name`` took."""
        self._all.setdefault(self._mode, {})[name] = round(seconds, 1)
        part = self._path.with_suffix(".part")
        part.write_text(json.dumps(self._all, indent=1, sort_keys=True) + "\n")
        part.replace(self._path)
