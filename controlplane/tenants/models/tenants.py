"""Communities: the isolation domain."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from controlplane.reach import Reach, Reached


class TenantRows(Reached["Tenant"]):
    """Tenants, and who may see them."""

    def within(self, reach: Reach) -> Self:
        """The tenants themselves; of a site, those with an allocation there."""
        if reach.everything:
            return self
        there = self.model.objects.filter(allocations__site__slug__in=reach.sites).values("pk")
        return self.filter(Q(pk__in=reach.tenants) | Q(pk__in=there))


class Tenant(models.Model):
    """A community (virtual organisation, project): the isolation domain.

    community: the issuer and the group at it that this is the tenant of, where one was made at first sight; so that a
    group of the same name at another issuer, or one that comes to the same slug, never shares it.
    """

    slug = models.SlugField(max_length=63, unique=True)
    name = models.CharField(max_length=200)
    community = models.CharField(max_length=420, blank=True, default="", db_default="", editable=False)
    enabled = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TenantRows.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["community"], condition=~Q(community=""), name="a_community_has_one_tenant"
            ),
        ]

    def __str__(self) -> str:
        return self.name
