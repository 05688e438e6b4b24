"""A folder that the system user can reach."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def folder() -> Iterator[Path]:
    """Not pytest's tmp_path, because its parent folders are closed to the system user."""
    place = Path(tempfile.mkdtemp(prefix="isthmus-services-"))
    place.chmod(0o711)
    yield place
    shutil.rmtree(place)
