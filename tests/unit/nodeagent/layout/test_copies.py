"""What is set aside for a copy that is there: nobody may be promised it."""

import os
from pathlib import Path

import pytest

from directpv_nodeagent.layout import copies
from directpv_nodeagent.layout.core.view import DriveView
from directpv_nodeagent.layout.drive_dir import DriveDir
from directpv_nodeagent.linux import quota
from directpv_nodeagent.linux.core.quota import FileAttributes, Usage

FSUUID = "6d4b2a3c-0b1f-4a52-9d3e-1c1b3f3a9f10"
MIB = 1 << 20


@pytest.mark.parametrize(
    ("enforced", "limit", "size"),
    [(True, 64 * MIB, 64 * MIB), (True, 0, 3 * MIB), (False, 64 * MIB, 0)],
    ids=["its limit, to which it may still grow", "what it takes, if it has none", "its blocks, without quota"],
)
def test_a_copy_counts_with_what_is_set_aside_for_it(
    enforced: bool, limit: int, size: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's answer is played: few kernels that tests run on have project quota; guests ask real ones."""
    (tmp_path / ".directpv/incoming/pvc-1").mkdir(parents=True)
    (tmp_path / ".directpv/incoming/pvc-1/file").write_bytes(os.urandom(16384))
    asked: list[tuple[str, int]] = []

    def answered(_: int, device: str, project: int) -> Usage:
        asked.append((device, project))
        return Usage(limit, 3 * MIB, 2)

    monkeypatch.setattr(quota, "usage", answered)
    monkeypatch.setattr(quota, "attributes", lambda _: FileAttributes(0, 0, 0, 4711, 0))
    root = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        view = DriveView(str(tmp_path), FSUUID, "8:16", "sdb", enforced=enforced)
        found = copies.size(view, DriveDir(root, FSUUID, str(tmp_path)), "pvc-1")
    finally:
        os.close(root)

    assert found == size if enforced else 16384 <= found < MIB
    assert asked == [("/dev/sdb", 4711)] * enforced
