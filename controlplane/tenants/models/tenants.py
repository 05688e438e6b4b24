"""Tenants."""

from __future__ import annotations

from typing import Self

from django.db import models
from django.db.models import Q
from django.utils import timezone

from controlplane.reach import Reach, Reached


class TenantRows(Reached["Tenant"]):
    """Tenants. A caller sees its own, and a site operator those with an allocation at the site."""

    def within(self, reach: Reach) -> Self:
        """Returns the tenants of `reach`, and those with an allocation at one of its sites."""
        if reach.everything:
            return self
        there = self.model.objects.filter(allocations__site__slug__in=reach.sites).values("pk")
        return self.filter(Q(pk__in=reach.tenants) | Q(pk__in=there))


class Tenant(models.Model):
    """A community (virtual organisation, project). Tenants cannot see each other's objects.

    Written by controlplane/tenants/administration.py.
    """

    slug = models.SlugField(max_length=63, unique=True, help_text="its name in addresses and in the API")
    name = models.CharField(max_length=200, help_text="its name for people")
    community = models.CharField(
        max_length=420,
        blank=True,
        default="",
        db_default="",
        editable=False,
        help_text="issuer and group, if it was made when a member of the group first logged in. A group of the same "
        "name at another issuer, or one with the same slug, never shares the tenant",
    )
    enabled = models.BooleanField(default=True, help_text="off: nothing of it starts, and its tokens are refused")
    created_at = models.DateTimeField(default=timezone.now, editable=False, help_text="when it was made")

    objects = TenantRows.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["community"], condition=~Q(community=""), name="a_community_has_one_tenant"
            ),
        ]

    def __str__(self) -> str:
        return self.name
