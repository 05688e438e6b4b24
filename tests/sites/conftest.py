"""The sites under test, each opened once for a module and left clean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sites.connectors.memory import MemoryConnector
from tests.backends.fixtures import slurm_backend, ssh_backend
from tests.sites.site_kinds import MemoryKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.sites.site_kinds import SiteKind

__all__ = ["slurm_backend", "ssh_backend"]


def _memory(_: pytest.FixtureRequest) -> SiteKind:
    return MemoryKind("contract", MemoryConnector.from_config({"name": "contract"}))


KINDS = {"memory": _memory}


@pytest.fixture(scope="module", params=KINDS)
def site(request: pytest.FixtureRequest) -> Iterator[SiteKind]:
    """Each kind of site in turn."""
    kind = KINDS[request.param](request)
    yield kind
    kind.clear()


@pytest.fixture
def real_site(site: SiteKind) -> SiteKind:
    """A site that really runs what it is given."""
    return site if site.real else pytest.skip("nothing runs at an imagined site")


@pytest.fixture
def mounting_site(real_site: SiteKind) -> SiteKind:
    """A site that runs containers, and so can mount volumes."""
    return real_site if real_site.mounts else pytest.skip("commands on the bare host have no mounts")
