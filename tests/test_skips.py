"""What a run reports about skipped tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

MODULE = """
import pytest

@pytest.mark.parametrize("number", range(3))
def test_a(number):
    pytest.skip("no Slurm here")

def test_b():
    pytest.skip("no Slurm here")

@pytest.mark.skip(reason="only root can")
def test_c(): ...
"""


def test_skipped_tests_are_counted_by_reason(tmp_path: Path) -> None:
    module = tmp_path / "test_some.py"
    module.write_text(MODULE)
    argv = ["-m", "pytest", "-c", "/dev/null", "--rootdir", str(tmp_path), "-p", "no:django", "-p", "tests.skips"]
    project = Path(__file__).parent.parent
    done = subprocess.run([sys.executable, *argv, str(module)], cwd=project, capture_output=True, text=True, check=True)
    _, heading, table = done.stdout.partition("why tests were skipped")
    assert heading
    assert table.splitlines()[1:3] == ["    4  no Slurm here", "    1  only root can"]
