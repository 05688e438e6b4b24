"""A pytest plugin (see pyproject.toml) that spreads the tests over the processes of a run (pytest-xdist).

All processes use one PostgreSQL, in which each creates its own database (tests/conftest.py), and one Valkey, in which
each has a numbered database. The tests of a module share fixtures and therefore a process. Tests that use a real system
of the machine share a process too, because they stop it, cut its connections and fill it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from controlplane.ops.database_roles import with_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from execnet.xspec import XSpec
    from xdist.remote import Producer
    from xdist.scheduler import LoadScopeScheduling

#: Group -> its modules, or their folder. These groups start first, in this order, because they take longest.
GROUPS = {
    "slurm": (
        "tests/test_kills.py",
        "tests/sites/connectors/test_contract.py",
        "tests/sites/connectors/slurm/test_real_days.py",
        "tests/sites/connectors/shell/test_ssh.py",
        "tests/test_pods_on_slurm.py",
        "tests/test_benchmarks.py",
        "tests/backends/test_control.py",
    ),
    "keycloak": ("tests/browser/", "tests/backends/test_keycloak.py"),
}


def group_of(test: str) -> str:
    """Return a test's group from its node id. Without a group of its own, a module is its group."""
    module = test.partition("::")[0]
    return next((group for group, members in GROUPS.items() if module.startswith(members)), module)


def turn_of(test: str) -> int:
    """Return the number by which tests are ordered; tests with equal numbers keep their collected order."""
    module = test.partition("::")[0]
    places = [place for members in GROUPS.values() for place in members]
    return next((turn for turn, place in enumerate(places) if module.startswith(place)), len(places))


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    yield  # run after pytest-django's own sorting
    items.sort(key=lambda item: turn_of(item.nodeid))


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """Start no further process for a single module, whose tests share one anyway. None: pytest-xdist decides."""
    modules = {argument.partition("::")[0] for argument in config.args}
    return 0 if len(modules) == 1 and modules.pop().endswith(".py") else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: Sequence[XSpec]) -> None:
    """Give each process a Redis database and a log archive of its own, before it starts.

    Redis has databases 0 to 15, hence `--maxprocesses=16` in the Makefile.
    """
    for number, spec in enumerate(specs):
        spec.env["REDIS_URL"] = with_database(os.environ["REDIS_URL"], str(number))
        spec.env["ISTHMUS_LOG_ARCHIVE"] = f"{os.environ['ISTHMUS_LOG_ARCHIVE']}-{number}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    # Not `--dist=loadgroup`: it appends the group to a test's node id, which pytest 9.2 does not allow (pytest-xdist
    # issue 1386); it then silently runs all tests in parallel.
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):  # type: ignore[misc]  # it is untyped
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False  # keep the collected order instead of sorting groups by size
    return ByGroup(config, log)
