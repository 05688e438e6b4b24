"""A pytest plugin (see pyproject.toml) that spreads the tests over the processes of a run (pytest-xdist).

All processes use one PostgreSQL, in which each makes a database of its own (tests/conftest.py), and one Valkey, in
which each has a numbered database. The tests of a module share fixtures, and so a process. Those at a real system that
the machine has once share a process too: they stop it, cut its connections and fill it.
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

#: Group -> its modules, or their folder. The groups begin in this order and before all other modules, since they take
#: longest.
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
    """The group of a test by its node id; that of its module alone is the module's path."""
    module = test.partition("::")[0]
    return next((group for group, members in GROUPS.items() if module.startswith(members)), module)


def turn_of(test: str) -> int:
    """Tests begin in the order of this number, and of their collection where it is equal."""
    module = test.partition("::")[0]
    places = [place for members in GROUPS.values() for place in members]
    return next((turn for turn, place in enumerate(places) if module.startswith(place)), len(places))


@pytest.hookimpl(wrapper=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    yield  # pytest-django sorts them too
    items.sort(key=lambda item: turn_of(item.nodeid))


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """No further process for a single module, whose tests would share one of them; None leaves it to pytest-xdist."""
    modules = {argument.partition("::")[0] for argument in config.args}
    return 0 if len(modules) == 1 and modules.pop().endswith(".py") else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(specs: Sequence[XSpec]) -> None:
    """Called before the processes start. Redis has databases 0 to 15, hence `--maxprocesses=16` in the Makefile."""
    for number, spec in enumerate(specs):
        spec.env["REDIS_URL"] = with_database(os.environ["REDIS_URL"], str(number))
        spec.env["ISTHMUS_LOG_ARCHIVE"] = f"{os.environ['ISTHMUS_LOG_ARCHIVE']}-{number}"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    # Not `--dist=loadgroup`: it appends the group to a test's node id, which pytest 9.2 does not let it (pytest-xdist
    # issue 1386), and then runs all tests side by side without a word.
    from xdist.scheduler import LoadScopeScheduling

    class ByGroup(LoadScopeScheduling):  # type: ignore[misc]  # it is untyped
        def _split_scope(self, nodeid: str) -> str:
            return group_of(nodeid)

    config.option.loadscopereorder = False  # the order of collection, instead of the number of tests in a group
    return ByGroup(config, log)
