"""Gives and takes memberships and roles by hand, and removes lapsed ones. Every change is recorded.

Claimed ones follow the issuer (oidc/apply_claims.py) and lapse if no login confirms them within MEMBERSHIP_LAPSE
seconds. Manual ones stay until somebody takes them. When one ends, new jobs are refused; running jobs continue.
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

_BATCH = 500  # rows per transaction
AnyHeld = Membership | RoleGrant


def lapse(*, now: datetime) -> int:
    """Removes claimed memberships and roles that no login has confirmed in time; returns how many."""
    removed = 0
    for model in (Membership, RoleGrant):
        while batch := _lapse_some(model, now):
            removed += batch
    return removed


def give_membership(
    person: Person, tenant: Tenant, role: Membership.Role, *, now: datetime | None = None
) -> Membership:
    """Gives a manual membership, in the caller's transaction; returns the existing one if there is one."""
    now = now or timezone.now()
    held, is_new = Membership.objects.get_or_create(
        person=person, tenant=tenant, role=role, origin=Origin.MANUAL, defaults={"created_at": now, "seen_at": now}
    )
    if is_new:
        record_change(held, "give")
    return held


def give_role(person: Person, role: RoleGrant.Role, *, site: str = "", now: datetime | None = None) -> RoleGrant:
    """Gives a manual role, in the caller's transaction; returns the existing one if there is one.

    site: a slug. Raises Invalid unless a site operator has a site and the other roles have none.
    """
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
    """Removes a manual membership or role, in the caller's transaction. Raises BadRequest for a claimed one."""
    if held.origin != Origin.MANUAL:
        raise BadRequest(
            "This comes from the person's home organisation, and the next login would restore it: end it there."
        )
    remove(held, "take")


def _lapse_some(model: type[AnyHeld], now: datetime) -> int:
    with seeing_everything():
        # skip_locked: a login that renews a row has it locked.
        rows = model.objects.lapsed(now=now).select_for_update(skip_locked=True)[:_BATCH]
        batch: list[AnyHeld] = list(rows)
        for held in batch:
            remove(held, "lapse")
    return len(batch)


def remove(held: AnyHeld, act: str) -> None:
    """Deletes the membership or role and records it. act: `take` or `lapse`."""
    record_change(held, act)
    held.delete()


def record_change(held: AnyHeld, act: str) -> None:
    """Records the event `membership.<act>` or `role.<act>`. act: `give`, `take` or `lapse`."""
    particulars = {"person": held.person_id, "role": held.role, "origin": held.origin, "rule": held.rule}
    if isinstance(held, Membership):
        trail.record(f"membership.{act}", "membership", held.pk, tenant_id=held.tenant_id, changes=particulars)
    else:
        trail.record(f"role.{act}", "role", held.pk, site=held.site, changes=particulars)
