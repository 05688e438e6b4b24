"""Makes a person's claimed memberships and roles what an issuer's claims give: a login adds, renews and removes."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from controlplane.audit import trail
from controlplane.auth import memberships
from controlplane.auth.oidc.claim_rules import Verdict, try_claims
from controlplane.tenants.models import Membership, Origin, Person, RoleGrant, Tenant
from controlplane.tenants.scope import seeing_everything

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from controlplane.auth.memberships import AnyHeld
    from controlplane.auth.oidc.claim_rules import Given
    from controlplane.auth.oidc.issuer import Issuer


def apply_claims(person: Person, issuer: Issuer, claims: Mapping[str, Any], *, now: datetime) -> Verdict:
    """Make the person's claimed memberships and roles what these claims give, and say what they gave.

    A rule on which the claims say nothing leaves what it gave before as it is, its age included.
    """
    verdict = try_claims(issuer, claims)
    with seeing_everything():
        # One login of a person at a time, so that two tabs do not give the same thing twice.
        Person.objects.select_for_update(no_key=True).get(pk=person.pk)
        kept = {_renewed(person, issuer, given, now) for given in verdict.given}
        names = {rule.name for rule in issuer.rules}
        claimed: list[AnyHeld] = [
            *Membership.objects.filter(person=person, origin=Origin.CLAIMED),
            *RoleGrant.objects.filter(person=person, origin=Origin.CLAIMED),
        ]
        for held in claimed:
            is_over = held.rule in verdict.decided or (held.rule not in names and verdict.is_known)
            if is_over and _identity(held) not in kept:
                memberships.remove(held, "take")
    return verdict


def _renewed(person: Person, issuer: Issuer, given: Given, now: datetime) -> tuple[Any, ...] | None:
    """What is given, as it is held now; None where it is for a tenant that is not there."""
    fields: dict[str, Any] = {"person": person, "role": given.give, "origin": Origin.CLAIMED}
    model: type[AnyHeld] = RoleGrant
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
        memberships.record_change(held, "give")
        return _identity(held)
    had_lapsed = held.seen_at <= model.objects.none().lapses_before(now=now)
    held.rule, held.seen_at = given.rule, now
    held.save(update_fields=["rule", "seen_at"])
    if had_lapsed:
        memberships.record_change(held, "give")
    return _identity(held)


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


def _identity(held: AnyHeld) -> tuple[Any, ...]:
    return type(held), held.pk
