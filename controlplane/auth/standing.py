"""What a person may do today, from the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from controlplane.auth.rights import Held, Rights
from controlplane.auth.roles import Role
from controlplane.tenants.models import Membership, RoleGrant
from controlplane.tenants.scope import seeing, seeing_everything

if TYPE_CHECKING:
    from datetime import datetime

    from controlplane.tenants.models import Person


def rights_of(person: Person, *, now: datetime) -> Rights:
    """The roles that count now: of enabled tenants, of sites, of the federation. None for a disabled person.

    An administrator may do what a federation operator may.
    """
    if not person.is_active:
        return Rights()
    with seeing_everything():
        memberships = Membership.objects.in_force(now=now).filter(person=person, tenant__enabled=True)
        held = {Held(Role(role), tenant_id=tenant) for role, tenant in memberships.values_list("role", "tenant_id")}
        grants = RoleGrant.objects.in_force(now=now).filter(person=person)
        held |= {Held(Role(role), site=site) for role, site in grants.values_list("role", "site")}
    if person.is_superuser:
        held.add(Held(Role.FEDERATION_OPERATOR))
    return Rights(tuple(sorted(held, key=lambda each: (each.role, each.tenant_id or 0, each.site))))


def held_by(person: Person) -> tuple[list[Membership], list[RoleGrant]]:
    """All that the person holds, whether it counts now or not, with the tenants' names: for the person to see."""
    with seeing(person=person.pk):
        tenants = list(Membership.objects.filter(person=person).values_list("tenant_id", flat=True))
    with seeing(tenants=tenants, person=person.pk):
        memberships = Membership.objects.filter(person=person).select_related("tenant").order_by("tenant__name", "role")
        grants = RoleGrant.objects.filter(person=person).order_by("role", "site")
        return list(memberships), list(grants)
