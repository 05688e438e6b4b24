"""Sets which tenants' rows a transaction sees. The view filters first; row security is a second check.

The web role's row-security policies (`controlplane/ops/row_security.py`) read three settings, which last for one
transaction. Without them a transaction sees no tenant's rows, so code that forgets them shows too little, never too
much. A streamed answer must open a new scope for each of its queries.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

from django.db import connection, transaction

from controlplane import database

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from controlplane.reach import Reach

#: The value of `isthmus.tenants` that shows the rows of every tenant.
EVERYTHING = "*"
_SET = (
    "SELECT set_config('isthmus.tenants', $1, true), set_config('isthmus.sites', $2, true),"
    " set_config('isthmus.person', $3, true)"
)
# Policies compare ids, because a join by slug would run once per row. So the slugs are translated to ids here.
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
    """Opens a transaction that sees the rows of these tenants (ids), of these sites, and of this person (an id)."""
    with _scope("{" + ",".join(map(str, tenants)) + "}", "" if person is None else str(person), site_slugs):
        yield


@contextmanager
def seeing_everything() -> Iterator[None]:
    """Opens a transaction that sees all rows: to authenticate callers, and for federation roles and internal work."""
    with _scope(EVERYTHING, ""):
        yield


def seeing_reach(reach: Reach, *, person: int | None) -> AbstractContextManager[None]:
    """Opens a transaction that sees the rows within `reach`, and the person's own memberships and tokens."""
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
        if outer is not None and not connection.needs_rollback:  # a rollback restores the outer settings itself
            database.execute(_SET, outer)
