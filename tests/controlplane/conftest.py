"""A Redis without earlier login failures."""

from __future__ import annotations

import pytest
from django.core.cache import cache


@pytest.fixture(autouse=True)
def _no_failures() -> None:
    """Delete the count of failed logins, which is kept per address: all tests call from one address."""
    cache.clear()
