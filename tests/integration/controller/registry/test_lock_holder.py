"""Who keeps the registry's file locked, in words."""

import os
import shutil
import subprocess
from pathlib import Path

from directpv_controller.registry.sqlite.lock_holder import described


def test_a_process_whose_name_is_no_text_is_described_all_the_same(tmp_path: Path) -> None:
    program = os.fsencode(tmp_path) + b"/sl\xffp"
    shutil.copy(b"/bin/sleep", program)
    process = subprocess.Popen([program, b"60"])
    try:
        assert described(process.pid) == f"process {process.pid} (sl\N{REPLACEMENT CHARACTER}p)"
    finally:
        process.kill()
        process.wait(20)


def test_a_process_that_is_gone_is_described_by_its_number() -> None:
    process = subprocess.Popen(["/bin/true"])
    process.wait(20)

    assert described(process.pid) == f"process {process.pid}"
