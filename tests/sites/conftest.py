"""The sites under test. Each is opened once per module and cleaned up."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.backends.control import find_backends
from tests.backends.fixtures import START, slurm_backend, ssh_backend, unavailable
from tests.sites.site_kinds import BASE, LocalKind, MemoryKind, SlurmKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.backends.control import Backends
    from tests.sites.site_kinds import SiteKind

__all__ = ["slurm_backend", "ssh_backend"]


def _memory(_: pytest.FixtureRequest) -> SiteKind:
    return MemoryKind("memory", {"name": "contract"})


def _local(_: pytest.FixtureRequest) -> SiteKind:
    return LocalKind("local", {"base": BASE, "slots": 4, "user": _unprivileged_user()})


def _slurm_local(request: pytest.FixtureRequest) -> SiteKind:
    backends = request.getfixturevalue("slurm_backend")
    return SlurmKind("slurm", {**_slurm(backends), "user": backends.user}, backends=backends)


def _slurm_ssh(request: pytest.FixtureRequest) -> SiteKind:
    backends = request.getfixturevalue("ssh_backend")
    ssh = {
        "host": backends.ssh_host,
        "port": backends.ssh_port,
        "user": backends.user,
        "host_key": backends.known_hosts.read_text(),
    }
    return SlurmKind("slurm", {**_slurm(backends), "ssh": ssh}, backends.key.read_text(), backends=backends)


def _slurm(backends: Backends) -> dict[str, Any]:
    return {
        "base": BASE,
        "runtime": {"kind": "charliecloud", "images": backends.images},
        "env": {"SLURM_CONF": backends.slurm_conf},
    }


def _unprivileged_user() -> str:
    """Return None for our own user, or, for root, the backends' account."""
    if os.geteuid() != 0:
        return os.environ.get("USER", "")
    backends = find_backends() or unavailable(f"As root there is no user to run jobs as: {START}.")
    return backends.user


KINDS = {"memory": _memory, "local": _local, "slurm-local": _slurm_local, "slurm-ssh": _slurm_ssh}


@pytest.fixture(scope="module", params=KINDS)
def site(request: pytest.FixtureRequest) -> Iterator[SiteKind]:
    """Each kind of site in turn."""
    kind = KINDS[request.param](request)
    yield kind
    kind.tidy()
    kind.connector.close()


@pytest.fixture
def real_site(site: SiteKind) -> SiteKind:
    """A site that really runs its workloads."""
    return site if site.real else pytest.skip("an in-memory site runs nothing")


@pytest.fixture
def mounting_site(real_site: SiteKind) -> SiteKind:
    """A site that runs containers, and so can mount volumes."""
    return real_site if real_site.mounts else pytest.skip("commands on the bare host have no mounts")
