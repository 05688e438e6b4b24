"""Every benchmark still runs and prints its figure. The runs are tiny, and no test asserts a figure."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.__main__ import ALL
from benchmarks.figures import FELL_SHORT
from tests.backends.fixtures import slurm_backend, ssh_backend, unavailable

if TYPE_CHECKING:
    from tests.backends.control import Backends

__all__ = ["slurm_backend", "ssh_backend"]

PROJECT = Path(__file__).resolve().parent.parent
TINY = {
    "seen": ["--local", "--pods=3", "--start=0", "--seconds=1"],
    "status": ["--rows", "100", "--seconds=1", "--rounds=1"],
    "create": ["--pods=8", "--rounds=1"],
    "submit": ["--pods=3", "--rounds=1"],
    "poll": ["--jobs=20", "--ended=20", "--changed=2"],
    "memory": ["--pods=1", "--rest=0"],
    "admission": ["--pods=10", "--tenants=2", "--rounds=1"],
}


def test_no_benchmark_is_missing_here() -> None:
    assert TINY.keys() == set(ALL)


@pytest.mark.parametrize("name", sorted(TINY.keys() - {"submit", "status"}))
def test_a_benchmark_prints_its_figure(name: str) -> None:
    run(name)


def test_the_benchmark_of_status_prints_its_figure() -> None:
    if shutil.which("wrk") is None:
        unavailable("There is no wrk to send requests: install it (tests/backends/install.sh).")
    run("status")


def test_the_benchmark_of_submissions_prints_its_figure(ssh_backend: Backends) -> None:
    run("submit")


def run(name: str) -> None:
    """Run a benchmark in its own process with its own services."""
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("DATABASE_", "REDIS_"))}
    argv = [sys.executable, "-m", f"benchmarks.{name}", *TINY[name]]
    done = subprocess.run(argv, cwd=PROJECT, env=environ, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode in {0, FELL_SHORT}, done.stdout + done.stderr
    assert re.search(r"^\([a-g]\) .*: ours .* \| yardstick .* \| (reached|FALLS SHORT)$", done.stdout, re.MULTILINE)
