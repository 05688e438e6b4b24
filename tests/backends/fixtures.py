"""Fixtures for the real systems. On a laptop a missing system skips the test with the reason; in CI the test fails."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

from tests.backends.control import Backends, find_backends, slurm_answers, sshd_answers
from tests.backends.keycloak import Keycloak

START = "start the backends with tests/backends/up.sh (as root)"


@pytest.fixture(scope="session")
def slurm_backend() -> Backends:
    """A Slurm of four nodes on this host."""
    backends = find_backends() or unavailable(f"There is no Slurm to test with: {START}.")
    return backends if slurm_answers(backends) else unavailable(f"Slurm does not answer: {START}.")


@pytest.fixture(scope="session")
def ssh_backend(slurm_backend: Backends) -> Backends:
    """The same Slurm, reached over SSH as an unprivileged user."""
    return slurm_backend if sshd_answers(slurm_backend) else unavailable(f"sshd does not answer: {START}.")


@pytest.fixture(scope="session")
def keycloak() -> Keycloak:
    """A Keycloak with the realms isthmus and isthmus2."""
    backends = find_backends() or unavailable(f"There is no Keycloak to test with: {START}.")
    found = Keycloak(backends.keycloak_url, backends.folder / "keycloak/pid")
    return found if found.answers() else unavailable(f"Keycloak does not answer: {START}.")


def unavailable(reason: str) -> NoReturn:
    """Skip the test with the reason, or fail it if CI=true."""
    if os.environ.get("CI", "").lower() in {"1", "true"}:
        pytest.fail(reason)
    pytest.skip(reason)
