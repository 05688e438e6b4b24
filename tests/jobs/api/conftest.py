"""The people of tests/jobs/api/federation.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sites.connectors.memory.site import forget_memory_sites
from tests.jobs.api.federation import Federation, make_federation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.api import Api


@pytest.fixture
def federation(api: Api) -> Iterator[Federation]:
    yield make_federation(api)
    forget_memory_sites()
