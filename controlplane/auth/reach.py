"""The one door to rows that belong to a tenant at a site: `within(reach)`, which every view goes through.

PostgreSQL's row security stands behind it (controlplane/row_security.py) and must never be what makes the difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from controlplane.auth.rights import Reach

_Row = TypeVar("_Row", bound=models.Model, covariant=True)


class Reached(models.QuerySet[_Row]):
    """Rows with a `tenant` and a `site`."""

    def within(self, reach: Reach) -> Self:
        """Those that a caller's action may touch."""
        if reach.everything:
            return self
        rows = Q(tenant__in=reach.tenants)
        if reach.sites:
            rows |= Q(site__slug__in=reach.sites)
        return self.filter(rows)
