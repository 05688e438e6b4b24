"""A Redis that knows of no failures before."""

from __future__ import annotations

import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def _no_failures() -> None:
    """Failed logins are counted by address, and all tests call from one."""
    cache.clear()
