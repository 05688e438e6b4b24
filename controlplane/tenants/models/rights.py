"""People's rights: memberships of tenants, and roles at sites and in the federation."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Self, TypeVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from controlplane.reach import Reached
from controlplane.tenants.models.people import Person
from controlplane.tenants.models.tenants import Tenant

if TYPE_CHECKING:
    from datetime import datetime

_Held = TypeVar("_Held", bound="HeldRight", covariant=True)


class Origin(models.TextChoices):
    """Where a membership or a role comes from."""

    CLAIMED = "claimed", "from the issuer's claims, renewed by each login"
    MANUAL = "manual", "given by hand"


class HeldRights(Reached[_Held]):
    """Memberships or role grants."""

    def in_force(self, *, now: datetime) -> Self:
        """Returns manual rights, and claimed ones that a login has confirmed within MEMBERSHIP_LAPSE seconds."""
        return self.filter(Q(origin=Origin.MANUAL) | Q(seen_at__gt=self.lapses_before(now=now)))

    def lapsed(self, *, now: datetime) -> Self:
        """Returns claimed rights that no login has confirmed within MEMBERSHIP_LAPSE seconds."""
        return self.filter(origin=Origin.CLAIMED, seen_at__lte=self.lapses_before(now=now))

    @staticmethod
    def lapses_before(*, now: datetime) -> datetime:
        return now - timedelta(seconds=settings.MEMBERSHIP_LAPSE)


class RoleGrantRows(HeldRights["RoleGrant"]):
    """Roles at sites and in the federation. A site operator sees the roles at the site."""

    tenant = ""
    site_slug = "site"


class HeldRight(models.Model):
    """The columns that memberships and roles have in common."""

    origin = models.CharField(max_length=10, choices=Origin.choices, help_text="where it comes from")
    rule = models.CharField(
        max_length=200,
        blank=True,
        help_text="of a claimed one: the name of the issuer's rule that gave it. "
        "Written by controlplane/auth/oidc/apply_claims.py.",
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False, help_text="when it was given")
    seen_at = models.DateTimeField(
        default=timezone.now,
        help_text="of a claimed one: the last login that showed it. Written by controlplane/auth/oidc/apply_claims.py.",
    )

    class Meta:
        abstract = True

    @property
    def lapses_at(self) -> datetime | None:
        """When a claimed right ends unless a login confirms it; None for a manual one, which does not end."""
        if self.origin == Origin.MANUAL:
            return None
        return self.seen_at + timedelta(seconds=settings.MEMBERSHIP_LAPSE)

    def counts(self, *, now: datetime) -> bool:
        """Returns whether the right is in force now; the same rule as `in_force`."""
        end = self.lapses_at
        return end is None or end > now


class Membership(HeldRight):
    """A person's role in a tenant. A manager need not also be a member."""

    class Role(models.TextChoices):
        MEMBER = "member", "submits pods and sees those of the tenant"
        MANAGER = "manager", "and manages its members, tokens, nodes and requests"

    person = models.ForeignKey(
        Person, on_delete=models.CASCADE, related_name="memberships", help_text="the person who has the role"
    )
    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="memberships", help_text="the tenant in which it holds"
    )
    role = models.CharField(max_length=10, choices=Role.choices, help_text="what the person may do there")

    objects = HeldRights.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person", "tenant", "role", "origin"], name="membership_is_held_once"),
        ]

    def __str__(self) -> str:
        return f"{self.person_id} {self.role} of {self.tenant_id}"


class RoleGrant(HeldRight):
    """A person's role at a site or in the federation."""

    class Role(models.TextChoices):
        FEDERATION_OPERATOR = "federation_operator", "Federation operator"
        FEDERATION_AUDITOR = "federation_auditor", "Federation auditor"
        SITE_OPERATOR = "site_operator", "Site operator"

    person = models.ForeignKey(
        Person, on_delete=models.CASCADE, related_name="role_grants", help_text="the person who has the role"
    )
    role = models.CharField(max_length=30, choices=Role.choices, help_text="what the person may do")
    site = models.CharField(
        max_length=63, blank=True, help_text="the slug of a site operator's site; empty for roles of the federation"
    )

    objects = RoleGrantRows.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["person", "role", "site", "origin"], name="role_is_granted_once"),
            models.CheckConstraint(
                condition=Q(role="site_operator") & ~Q(site="") | ~Q(role="site_operator") & Q(site=""),
                name="only_a_site_operator_has_a_site",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person_id} {self.role} {self.site}".rstrip()
