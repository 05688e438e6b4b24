"""A place for what the system user must reach, and a Redis that knows of no failures before."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.core.cache import cache

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _no_failures() -> None:
    """Failed logins are counted by address, and all tests call from one."""
    cache.clear()


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's tmp_path, whose parents are closed to the system user."""
    place = Path(tempfile.mkdtemp(prefix="isthmus-services-"))
    place.chmod(0o711)
    yield place
    shutil.rmtree(place)
