"""The one door to rows that belong to a tenant: `within(reach)`, which every view goes through.

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
    """The rows that an action may touch: all, or those of these tenants (ids) and of these sites (slugs)."""

    everything: bool = False
    tenants: frozenset[int] = frozenset()
    sites: frozenset[str] = frozenset()


class Reached(models.QuerySet[_Row]):
    """Rows that belong to a tenant or lie at a site. A subclass names the look-ups by which its model says so.

    tenant: compared with tenants' ids. site: with sites' ids; site_slug: with their slugs. "" where there is none.
    """

    tenant: ClassVar[str] = "tenant"
    site: ClassVar[str] = ""
    site_slug: ClassVar[str] = ""

    def within(self, reach: Reach) -> Self:
        """Those that a caller's action may touch."""
        if reach.everything:
            return self
        rows = Q(**{f"{self.tenant}__in": reach.tenants}) if self.tenant else Q(pk__in=[])
        if reach.sites and self.site:
            rows |= Q(**{f"{self.site}__in": self._ids_of_sites(reach)})
        if reach.sites and self.site_slug:
            rows |= Q(**{f"{self.site_slug}__in": reach.sites})
        return self.filter(rows)

    def matching(self, wanted: Mapping[str, Any], lookups: Mapping[str, str]) -> Self:
        """Those that fit each value of `wanted` for which `lookups` names a look-up. Other names are ignored."""
        return self.filter(**{lookup: wanted[name] for name, lookup in lookups.items() if name in wanted})

    def one_or_none(self, **lookup: Any) -> _Row | None:
        """The row of this look-up, which names one at most."""
        return self.filter(**lookup).first()

    def one(self, otherwise: str, **lookup: Any) -> _Row:
        """The same. Raises NotFound with the sentence `otherwise` where there is none."""
        found = self.one_or_none(**lookup)
        if found is None:
            raise NotFound(otherwise)
        return found

    def newest_first(self, *, below: int | None = None) -> Self:
        """By id, the highest first; with `below` only what comes behind that id."""
        rows = self if below is None else self.filter(pk__lt=below)
        return rows.order_by("-pk")

    def _ids_of_sites(self, reach: Reach) -> list[int]:
        """Asked for beforehand: with a join by slug, PostgreSQL would not see that the index by site is good for it."""
        kind: Any = self.model
        for name in self.site.split("__"):
            kind = kind._meta.get_field(name).related_model
        return list(kind.objects.filter(slug__in=reach.sites).values_list("pk", flat=True))


class AtSite(Reached[_Row]):
    """Rows with a `tenant` and a `site` of their own."""

    site = "site"
