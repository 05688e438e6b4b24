"""The one door to rows that belong to a tenant at a site: `within(reach)`, which every view goes through.

PostgreSQL's row security stands behind it (controlplane/row_security.py) and must never be what makes the difference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from collections.abc import Collection

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
            rows |= Q(site__in=self._ids_of(reach.sites))
        return self.filter(rows)

    def _ids_of(self, sites: Collection[str]) -> list[int]:
        """Asked for beforehand: with a join by slug, PostgreSQL would not see that the index by site is good for it."""
        kind: Any = self.model._meta.get_field("site").related_model
        return list(kind.objects.filter(slug__in=sites).values_list("pk", flat=True))
