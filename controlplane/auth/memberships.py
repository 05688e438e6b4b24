"""Memberships and roles: given and taken by an issuer's claims, by hand, and by time. Every change is recorded.

Claimed ones follow the issuer: a login adds, renews and removes them, and those that no login has shown for
MEMBERSHIP_LAPSE count no longer. Manual ones stay until somebody takes them. What is taken stops new submissions;
running jobs finish.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from controlplane.audit import trail
from controlplane.auth.claims import Verdict, try_claims
from controlplane.errors import BadRequest
from controlplane.tenants.models import Membership, Origin, Person, RoleGrant, Tenant
from controlplane.tenants.scope import seeing_everything

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from controlplane.auth.claims import Given
    from controlplane.auth.issuers import Issuer

_BATCH = 500
_Held = Membership | RoleGrant


def apply(person: Person, issuer: Issuer, claims: Mapping[str, Any], *, now: datetime) -> Verdict:
    """Make the person's claimed memberships and roles what these claims give, and say what they gave.

    A rule on which the claims say nothing leaves what it gave before as it is, its age included.
    """
    verdict = try_claims(issuer, claims)
    with seeing_everything():
        # One login of a person at a time, so that two tabs do not give the same thing twice.
        Person.objects.select_for_update(no_key=True).get(pk=person.pk)
        kept = {_renewed(person, issuer, given, now) for given in verdict.given}
        names = {rule.name for rule in issuer.rules}
        for held in _claimed(person):
            is_over = held.rule in verdict.decided or (held.rule not in names and verdict.is_known)
            if is_over and _identity(held) not in kept:
                _remove(held, "take")
    return verdict


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
        _record(held, "give")
    return held


def give_role(person: Person, role: RoleGrant.Role, *, site: str = "", now: datetime | None = None) -> RoleGrant:
    """A manual role, in the caller's transaction. site: the slug, for a site operator alone (else BadRequest)."""
    if bool(site) != (role == RoleGrant.Role.SITE_OPERATOR):
        raise BadRequest("A site operator needs a site, and the federation's roles have none.")
    now = now or timezone.now()
    held, is_new = RoleGrant.objects.get_or_create(
        person=person, role=role, site=site, origin=Origin.MANUAL, defaults={"created_at": now, "seen_at": now}
    )
    if is_new:
        _record(held, "give")
    return held


def take(held: Membership | RoleGrant) -> None:
    """Take a manual membership or role away, in the caller's transaction. Raises BadRequest for a claimed one."""
    if held.origin != Origin.MANUAL:
        raise BadRequest(
            "This comes from the person's home organisation and would be back with the next login: end it there."
        )
    _remove(held, "take")


def _renewed(person: Person, issuer: Issuer, given: Given, now: datetime) -> tuple[Any, ...] | None:
    """What is given, as it is held now; None where it is for a tenant that is not there."""
    fields: dict[str, Any] = {"person": person, "role": given.give, "origin": Origin.CLAIMED}
    model: type[_Held] = RoleGrant
    if given.kind == "membership":
        tenant = _tenant(issuer, given)
        if tenant is None:
            return None
        model, fields = Membership, {**fields, "tenant": tenant}
    else:
        fields["site"] = given.site
    held = model.objects.filter(**fields).first()
    if held is None:
        held = model.objects.create(**fields, rule=given.rule, created_at=now, seen_at=now)
        _record(held, "give")
    else:
        _renew(held, given, now)
    return _identity(held)


def _renew(held: _Held, given: Given, now: datetime) -> None:
    had_lapsed = held.seen_at <= type(held).objects.none().lapses_before(now=now)
    held.rule, held.seen_at = given.rule, now
    held.save(update_fields=["rule", "seen_at"])
    if had_lapsed:
        _record(held, "give")


def _tenant(issuer: Issuer, given: Given) -> Tenant | None:
    community = f"{issuer.issuer} {given.community}" if given.community else ""
    known = Tenant.objects.filter(**({"community": community} if community else {"slug": given.tenant})).first()
    if known is not None or not given.may_create:
        return known
    slug = given.tenant
    if community and Tenant.objects.filter(slug=slug).exists():
        slug = f"{slug}-{hashlib.sha256(community.encode()).hexdigest()[:8]}"
    # Two people of a new community may come at once: one makes the tenant, the other finds it.
    wanted = {"community": community} if community else {"slug": slug}
    tenant, is_new = Tenant.objects.get_or_create(**wanted, defaults={"slug": slug, "name": given.may_create})
    if is_new:
        changes = {"slug": slug, "name": tenant.name, "issuer": issuer.alias, "rule": given.rule}
        trail.record("tenant.create", "tenant", tenant.pk, tenant_id=tenant.pk, changes=changes)
    return tenant


def _claimed(person: Person) -> list[_Held]:
    return [
        *Membership.objects.filter(person=person, origin=Origin.CLAIMED),
        *RoleGrant.objects.filter(person=person, origin=Origin.CLAIMED),
    ]


def _identity(held: _Held) -> tuple[Any, ...]:
    return type(held), held.pk


def _lapse_some(model: type[_Held], now: datetime) -> int:
    with seeing_everything():
        # A login that renews one of these has it locked: that one is left to it.
        rows = model.objects.lapsed(now=now).select_for_update(skip_locked=True)[:_BATCH]
        batch: list[_Held] = list(rows)
        for held in batch:
            _remove(held, "lapse")
    return len(batch)


def _remove(held: _Held, act: str) -> None:
    _record(held, act)
    held.delete()


def _record(held: _Held, act: str) -> None:
    particulars = {"person": held.person_id, "role": held.role, "origin": held.origin, "rule": held.rule}
    if isinstance(held, Membership):
        trail.record(f"membership.{act}", "membership", held.pk, tenant_id=held.tenant_id, changes=particulars)
    else:
        trail.record(f"role.{act}", "role", held.pk, site=held.site, changes=particulars)
