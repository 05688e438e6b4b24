"""The one door to rows that belong to a tenant at a site: `within(reach)`, which every view goes through.

The view filters first; PostgreSQL's row security (controlplane/ops/row_security.py) is a second check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeVar

from django.db import models
from django.db.models import Q

if TYPE_CHECKING:
    from collections.abc import Collection

_Row = TypeVar("_Row", bound=models.Model, covariant=True)


@dataclass(frozen=True)
class Reach:
    """The rows that an action may touch: all, or those of these tenants (ids) and of these sites (slugs)."""

    everything: bool = False
    tenants: frozenset[int] = frozenset()
    sites: frozenset[str] = frozenset()


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
