"""Applies an issuer's claims to a person: a login adds, renews and removes claimed memberships and roles."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from controlplane.audit import trail
from controlplane.auth import memberships
from controlplane.auth.oidc.claim_rules import ClaimResult, try_claims
from controlplane.tenants.models import Membership, Origin, Person, RoleGrant, Tenant
from controlplane.tenants.scope import seeing_everything

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from controlplane.auth.memberships import AnyHeld
    from controlplane.auth.oidc.claim_rules import Given
    from controlplane.auth.oidc.issuer import Issuer


def apply_claims(person: Person, issuer: Issuer, claims: Mapping[str, Any], *, now: datetime) -> ClaimResult:
    """Sets the person's claimed memberships and roles to what these claims give; returns the result of the claims.

    If the claims say nothing about a rule, what the rule gave before stays, and is not renewed.
    """
    result = try_claims(issuer, claims)
    with seeing_everything():
        # Locks the person, so that two logins at once do not give the same right twice.
        Person.objects.select_for_update(no_key=True).get(pk=person.pk)
        kept = {_give_or_renew(person, issuer, given, now) for given in result.given}
        names = {rule.name for rule in issuer.rules}
        claimed: list[AnyHeld] = [
            *Membership.objects.filter(person=person, origin=Origin.CLAIMED),
            *RoleGrant.objects.filter(person=person, origin=Origin.CLAIMED),
        ]
        for held in claimed:
            is_over = held.rule in result.decided or (held.rule not in names and result.is_known)
            if is_over and _identity(held) not in kept:
                memberships.remove(held, "take")
    return result


def _give_or_renew(person: Person, issuer: Issuer, given: Given, now: datetime) -> tuple[Any, ...] | None:
    """Creates or renews what a rule gives, and returns its identity; None if its tenant does not exist."""
    fields: dict[str, Any] = {"person": person, "role": given.give, "origin": Origin.CLAIMED}
    model: type[AnyHeld] = RoleGrant
    if given.kind == "membership":
        tenant = _find_or_create_tenant(issuer, given)
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


def _find_or_create_tenant(issuer: Issuer, given: Given) -> Tenant | None:
    community = f"{issuer.issuer} {given.community}" if given.community else ""
    known = Tenant.objects.filter(**({"community": community} if community else {"slug": given.tenant})).first()
    if known is not None or not given.may_create:
        return known
    slug = given.tenant
    if community and Tenant.objects.filter(slug=slug).exists():
        slug = f"{slug}-{hashlib.sha256(community.encode()).hexdigest()[:8]}"
    # Two people of a new community may log in at once: one login creates the tenant, the other finds it.
    lookup = {"community": community} if community else {"slug": slug}
    tenant, is_new = Tenant.objects.get_or_create(**lookup, defaults={"slug": slug, "name": given.may_create})
    if is_new:
        changes = {"slug": slug, "name": tenant.name, "issuer": issuer.alias, "rule": given.rule}
        trail.record("tenant.create", "tenant", tenant.pk, tenant_id=tenant.pk, changes=changes)
    return tenant


def _identity(held: AnyHeld) -> tuple[Any, ...]:
    return type(held), held.pk
