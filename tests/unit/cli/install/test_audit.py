"""The file that keeps what an installation wrote."""

from datetime import UTC, datetime
from pathlib import Path

import yaml

from directpv_cli.install.applying.audit import audit_file
from directpv_cli.install.objects.base import csi_driver, storage_class


def test_an_audit_file_holds_what_was_written_once_it_is_over(tmp_path: Path) -> None:
    with audit_file(tmp_path, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)) as audit:
        audit.note(csi_driver())
        audit.note(storage_class())
    [file] = (tmp_path / ".directpv" / "audit").iterdir()
    assert file.name == "install.log.2026-01-02T03:04:05.000000000Z"
    assert list(yaml.safe_load_all(file.read_text())) == [csi_driver(), storage_class()]
    assert file.parent.stat().st_mode & 0o077 == 0


def test_an_audit_that_cannot_be_written_is_told_of_and_hurts_nobody(tmp_path: Path) -> None:
    (tmp_path / ".directpv").write_text("a file, where a folder should be")
    with audit_file(tmp_path) as audit:
        audit.note(csi_driver())
    assert audit.problem
