"""A tenant with a virtual node, and the site in memory that it sends to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sites.connectors.memory.site import forget_memory_sites, memory_site
from tests.factories import make_node, make_site

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.tenants.models import VirtualNode
    from sites.connectors.memory.site import MemorySite
    from sites.models import Site


@pytest.fixture
def vega(db: None) -> Iterator[Site]:
    """The row of a site in memory. What happens there is `memory`'s to say."""
    yield make_site(slug="vega", name="Vega", config={"name": "vega"})
    forget_memory_sites()


@pytest.fixture
def memory(vega: Site) -> MemorySite:
    """The other side of `vega`: makes batch jobs start and end, and has bad days."""
    return memory_site("vega")


@pytest.fixture
def node(vega: Site) -> VirtualNode:
    return make_node(site=vega)[0]
