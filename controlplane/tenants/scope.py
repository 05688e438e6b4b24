"""Whose rows a transaction sees: the second line behind every view's own filters.

The web role's row-security policies (`controlplane/ops/row_security.py`) read three settings that exist for one
transaction only. Outside of `seeing` nothing of any tenant's is there, so a forgotten scope shows nothing instead of
too much. A streamed answer opens one for each look it takes; nothing here outlives a transaction.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from django.db import connection, transaction

from controlplane import database

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from controlplane.reach import Reach

#: The value of `isthmus.tenants` with which every tenant's rows are seen.
EVERYTHING = "*"
_SET = (
    "SELECT set_config('isthmus.tenants', $1, true), set_config('isthmus.sites', $2, true),"
    " set_config('isthmus.person', $3, true)"
)
# The sites' ids are looked up on the way. Policies compare ids: a join by slug would be taken once a row.
_SET_BY_SLUGS = _SET.replace(
    "$2", "(SELECT coalesce(array_agg(id), '{}')::text FROM hpc_sites_site WHERE slug = ANY($2::text[]))"
)
_GET = (
    "SELECT coalesce(current_setting('isthmus.tenants', true), ''),"
    " coalesce(current_setting('isthmus.sites', true), ''), coalesce(current_setting('isthmus.person', true), '')"
)


@contextmanager
def seeing(
    *, tenants: Collection[int] = (), site_slugs: Collection[str] = (), person: int | None = None
) -> Iterator[None]:
    """A transaction that sees the rows of these tenants (ids), of these sites, and the person's own."""
    with _scope("{" + ",".join(map(str, tenants)) + "}", "" if person is None else str(person), site_slugs):
        yield


@contextmanager
def seeing_everything() -> Iterator[None]:
    """A transaction that sees all rows: for finding out who calls, for the federation's roles, and for the service."""
    with _scope(EVERYTHING, ""):
        yield


def seeing_reach(reach: Reach, *, person: int | None) -> AbstractContextManager[None]:
    """A transaction that sees what lies within `reach`, and the person's own memberships and tokens."""
    if reach.everything:
        return seeing_everything()
    return seeing(tenants=reach.tenants, site_slugs=reach.sites, person=person)


@contextmanager
def _scope(tenants: str, person: str, site_slugs: Collection[str] = ()) -> Iterator[None]:
    with transaction.atomic():
        nested = len(connection.savepoint_ids) > 0
        outer = database.first(_GET, []) if nested else None
        if site_slugs:
            database.execute(_SET_BY_SLUGS, [tenants, sorted(site_slugs), person])
        else:
            database.execute(_SET, [tenants, "{}", person])
        yield
        if outer is not None and not connection.needs_rollback:  # a rollback brings the outer ones back by itself
            database.execute(_SET, outer)
