"""`within(reach)`: the filter that every view applies to rows that belong to a tenant.

The view filters first; PostgreSQL's row security (controlplane/ops/row_security.py) is a second check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from django.db import models
from django.db.models import Q

from controlplane.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

_Row = TypeVar("_Row", bound=models.Model, covariant=True)


@dataclass(frozen=True)
class Reach:
    """The rows that an action may touch: all rows, or those of these tenants (ids) and of these sites (slugs)."""

    everything: bool = False
    tenants: frozenset[int] = frozenset()
    sites: frozenset[str] = frozenset()


class Reached(models.QuerySet[_Row]):
    """Rows that belong to a tenant or to a site. A subclass names the model's look-ups for both; "" means none.

    tenant: the look-up of the tenant's id. site: the look-up of the site's id. site_slug: the look-up of its slug.
    """

    tenant: ClassVar[str] = "tenant"
    site: ClassVar[str] = ""
    site_slug: ClassVar[str] = ""

    def within(self, reach: Reach) -> Self:
        """Returns the rows within `reach`."""
        if reach.everything:
            return self
        rows = Q(**{f"{self.tenant}__in": reach.tenants}) if self.tenant else Q(pk__in=[])
        if reach.sites and self.site:
            # The ids come from a query of their own: with a join by slug, PostgreSQL would not use the index by site.
            kind: Any = self.model
            for name in self.site.split("__"):
                kind = kind._meta.get_field(name).related_model
            ids = list(kind.objects.filter(slug__in=reach.sites).values_list("pk", flat=True))
            rows |= Q(**{f"{self.site}__in": ids})
        if reach.sites and self.site_slug:
            rows |= Q(**{f"{self.site_slug}__in": reach.sites})
        return self.filter(rows)

    def matching(self, wanted: Mapping[str, Any], lookups: Mapping[str, str]) -> Self:
        """Filters by each value of `wanted` ({name: value}) for which `lookups` has a look-up; ignores other names."""
        return self.filter(**{lookup: wanted[name] for name, lookup in lookups.items() if name in wanted})

    def one_or_none(self, **lookup: Any) -> _Row | None:
        """Returns the row that `lookup` finds, or None. The look-up must match one row at most."""
        return self.filter(**lookup).first()

    def one(self, otherwise: str, **lookup: Any) -> _Row:
        """Returns the row that `lookup` finds. Raises NotFound with the sentence `otherwise` if there is none."""
        found = self.one_or_none(**lookup)
        if found is None:
            raise NotFound(otherwise)
        return found

    def newest_first(self, *, below: int | None = None) -> Self:
        """Orders by id, the highest first; with `below`, only rows with a lower id."""
        rows = self if below is None else self.filter(pk__lt=below)
        return rows.order_by("-pk")


class AtSite(Reached[_Row]):
    """Rows of models that have both a `tenant` and a `site` column."""

    site = "site"
