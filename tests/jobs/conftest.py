"""A tenant with a virtual node, and the in-memory site that the node sends pods to."""

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
    """The row of an in-memory site. The fixture `memory` controls what happens there."""
    yield make_site(slug="vega", name="Vega", config={"name": "vega"})
    forget_memory_sites()


@pytest.fixture
def memory(vega: Site) -> MemorySite:
    """The site behind `vega`: starts and ends batch jobs, and fails on request."""
    return memory_site("vega")


@pytest.fixture
def node(vega: Site) -> VirtualNode:
    return make_node(site=vega)[0]
