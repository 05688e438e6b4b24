"""A runtime with a real image: charliecloud, with the busybox image of tests/backends."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sites.script import Runtime, RuntimeKind
from tests.backends.fixtures import unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

BUILD = Path(__file__).parents[1] / "backends" / "parts" / "image.sh"


@pytest.fixture(scope="session")
def charliecloud() -> Iterator[Runtime]:
    """Return ch-run with its own image. Skips the test, or fails it in CI, where ch-run cannot run."""
    for program, package in (
        ("ch-run", "charliecloud-runtime"),
        ("busybox", "busybox-static"),
        ("unshare", "util-linux"),
    ):
        if shutil.which(program) is None:
            unavailable(f"There is no {program} to run containers: install {package}.")
    folder = Path(tempfile.mkdtemp(prefix="isthmus-images-"))
    folder.chmod(0o755)
    (folder / "images").mkdir()
    build = ["bash", "-euc", '. "$0"', str(BUILD)]
    subprocess.run(build, env={"BACKENDS": str(folder), "PATH": "/usr/bin:/bin"}, check=True)
    yield Runtime(RuntimeKind.CHARLIECLOUD, images=str(folder / "images"), grace=1)
    shutil.rmtree(folder)
