"""Memberships and roles: given and taken by hand, and ended by time. Every change is recorded.

Claimed ones follow the issuer (oidc/apply_claims.py): those that no login has shown for MEMBERSHIP_LAPSE count no
longer. Manual ones stay until somebody takes them. What is taken stops new submissions; running jobs finish.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from controlplane.audit import trail
from controlplane.errors import BadRequest, Invalid
from controlplane.tenants.models import Membership, Origin, RoleGrant
from controlplane.tenants.scope import seeing_everything

if TYPE_CHECKING:
    from datetime import datetime

    from controlplane.tenants.models import Person, Tenant

_BATCH = 500
AnyHeld = Membership | RoleGrant


def lapse(*, now: datetime) -> int:
    """Remove claimed memberships and roles that no login has shown for too long; how many."""
    removed = 0
    for model in (Membership, RoleGrant):
        while batch := _lapse_some(model, now):
            removed += batch
    return removed


def give_membership(
    person: Person, tenant: Tenant, role: Membership.Role, *, now: datetime | None = None
) -> Membership:
    """A manual membership, in the caller's transaction; the same one again if it is there already."""
    now = now or timezone.now()
    held, is_new = Membership.objects.get_or_create(
        person=person, tenant=tenant, role=role, origin=Origin.MANUAL, defaults={"created_at": now, "seen_at": now}
    )
    if is_new:
        record_change(held, "give")
    return held


def give_role(person: Person, role: RoleGrant.Role, *, site: str = "", now: datetime | None = None) -> RoleGrant:
    """A manual role, in the caller's transaction. site: the slug, for a site operator alone (else Invalid)."""
    if bool(site) != (role == RoleGrant.Role.SITE_OPERATOR):
        raise Invalid({"site": "A site operator needs a site, and the federation's roles have none."})
    now = now or timezone.now()
    held, is_new = RoleGrant.objects.get_or_create(
        person=person, role=role, site=site, origin=Origin.MANUAL, defaults={"created_at": now, "seen_at": now}
    )
    if is_new:
        record_change(held, "give")
    return held


def take(held: Membership | RoleGrant) -> None:
    """Take a manual membership or role away, in the caller's transaction. Raises BadRequest for a claimed one."""
    if held.origin != Origin.MANUAL:
        raise BadRequest(
            "This comes from the person's home organisation and would be back with the next login: end it there."
        )
    remove(held, "take")


def _lapse_some(model: type[AnyHeld], now: datetime) -> int:
    with seeing_everything():
        # A login that renews one of these has it locked: that one is left to it.
        rows = model.objects.lapsed(now=now).select_for_update(skip_locked=True)[:_BATCH]
        batch: list[AnyHeld] = list(rows)
        for held in batch:
            remove(held, "lapse")
    return len(batch)


def remove(held: AnyHeld, act: str) -> None:
    """Delete it and record that. act: how it ended, `take` or `lapse`."""
    record_change(held, act)
    held.delete()


def record_change(held: AnyHeld, act: str) -> None:
    """The audit event `membership.<act>` or `role.<act>`. act: `give`, `take` or `lapse`."""
    particulars = {"person": held.person_id, "role": held.role, "origin": held.origin, "rule": held.rule}
    if isinstance(held, Membership):
        trail.record(f"membership.{act}", "membership", held.pk, tenant_id=held.tenant_id, changes=particulars)
    else:
        trail.record(f"role.{act}", "role", held.pk, site=held.site, changes=particulars)
