"""What was written into the cluster, kept in a file as upstream keeps it."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from directpv_cli.install.objects.base import Object
from directpv_cli.install.objects.manifest import to_yaml


class Audit:
    """Takes objects; a failure to write ends the file, and never the installation."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self.problem = ""

    def note(self, item: Object) -> None:
        """Add one object."""
        if self._file and not self.problem:
            try:
                self._file.write(to_yaml([item]))
                self._file.flush()
            except OSError as error:
                self.problem = str(error)


@contextlib.contextmanager
def audit_file(home: Path, now: datetime | None = None) -> Iterator[Audit]:
    """Write ``<home>/.directpv/audit/install.log.<time>``, whole at the end; ``problem`` says why it cannot be."""
    folder = home / ".directpv" / "audit"
    moment = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%S.%f000Z")
    audit = Audit(None)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix="safefile.", dir=folder)
    except OSError as error:
        audit.problem = f"{folder}: {error.strerror}"
        yield audit
        return
    with os.fdopen(descriptor, "w") as file:
        audit = Audit(file)
        try:
            yield audit
        finally:
            try:
                file.flush()
                os.rename(temporary, folder / f"install.log.{moment}")
            except OSError as error:
                audit.problem = audit.problem or str(error)
