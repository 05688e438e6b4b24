"""Applies an issuer's rules to a person's claims: which memberships and roles they give. No database, no network.

Values are compared as a whole, part by part: a prefix does not match, and membership of a child group does not give
the parent's. The authority of an entitlement is ignored.

A missing claim says nothing; an empty claim says "none" (`ClaimResult.decided`).
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from controlplane.auth.oidc.claim_values import Source, facts, ignore, sources, whole
from controlplane.auth.oidc.issuer import ANY, FIRST_PART, Give

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from controlplane.auth.oidc.claim_values import Fact, Ignored
    from controlplane.auth.oidc.issuer import Issuer, Rule

_LONGEST_TENANT = 200


@dataclass(frozen=True)
class Given:
    """A membership or a role that a rule gives. value: the claim's value that the rule matched.

    tenant: the slug, for a member or manager. community: the group that owns the tenant, if the rule does not name the
    tenant's slug; `tenant` is then the slug of a new tenant. may_create: the name of a tenant that a login may create.
    """

    give: Give
    rule: str
    value: str
    tenant: str = ""
    community: str = ""
    may_create: str = ""
    site: str = ""

    @property
    def kind(self) -> str:
        """`membership` or `role`."""
        return "membership" if self.give in {Give.MEMBER, Give.MANAGER} else "role"


@dataclass(frozen=True)
class ClaimResult:
    """What a person's claims give.

    decided: names of the rules for which the claims are complete, so that what these rules do not give must be removed.
    is_known: whether there were any claims about groups.
    """

    given: tuple[Given, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    decided: frozenset[str] = frozenset()
    is_known: bool = False


def try_claims(issuer: Issuer, claims: Mapping[str, Any]) -> ClaimResult:
    """Returns what these claims give and by which rule, and which values give nothing."""
    found, ignored = facts(issuer, claims)
    # If several rules give the same, the first rule in the file counts.
    given = {
        (each.give, each.tenant, each.community, each.site): each
        for each in reversed([*_given(issuer, found, ignored)])
    }
    complete, offered = whole(issuer, claims), sources(issuer).keys()
    # A rule is decided if all its sources are present and complete.
    decided = frozenset(rule.name for rule in issuer.rules if (read := _sources(rule) & offered) and read <= complete)
    return ClaimResult(tuple(reversed(given.values())), tuple(ignored), decided, bool(complete))


def slug_for(community: str) -> str:
    """Returns the slug for a group's tenant. It is not unique: two groups may get the same slug."""
    slug = re.sub(r"[^a-z0-9]+", "-", community.lower()).strip("-")
    return slug[:50].strip("-") or f"tenant-{hashlib.sha256(community.encode()).hexdigest()[:8]}"


def _sources(rule: Rule) -> set[Source]:
    """Returns the sources that a rule reads. A rule with a role reads no plain groups, because these have no roles."""
    if rule.realm_role:
        return {Source.REALM_ROLES}
    if rule.client_role:
        return {Source.CLIENT_ROLES}
    if rule.group and not rule.role:
        return {Source.ENTITLEMENTS, Source.GROUPS}
    return {Source.ENTITLEMENTS}


def _given(issuer: Issuer, found: list[Fact], ignored: list[Ignored]) -> Iterator[Given]:
    """Yields what the rules give, in the order of the file; adds the values that no rule matches to `ignored`."""
    matched: set[str] = set()
    for rule in issuer.rules:
        for fact in found:
            if _matches(rule, fact):
                matched.add(fact.value)
                yield _given_by(issuer, rule, fact)
    ignored += [ignore(fact.claim, fact.value, "No rule matches it.") for fact in found if fact.value not in matched]


def _matches(rule: Rule, fact: Fact) -> bool:
    if rule.group:
        return (
            len(fact.path) == len(rule.group)
            and fact.role == rule.role
            and all(pattern in {ANY, part} for pattern, part in zip(rule.group, fact.path, strict=True))
            and (rule.tenant != FIRST_PART or len(fact.path[0]) <= _LONGEST_TENANT)
        )
    if rule.entitlement:
        return fact.entitlement == rule.entitlement.partition("#")[0]
    if rule.goc_role:
        return fact.goc == (rule.goc_role, rule.goc_site)
    source, role = (Source.REALM_ROLES, rule.realm_role) if rule.realm_role else (Source.CLIENT_ROLES, rule.client_role)
    return fact.source is source and fact.role == role


def _given_by(issuer: Issuer, rule: Rule, fact: Fact) -> Given:
    first = fact.path[0] if fact.path else ""
    may_create = bool(rule.tenant and first) and any(fnmatchcase(first, each) for each in issuer.create_tenants)
    is_own = rule.tenant == FIRST_PART
    return Given(
        give=rule.give,
        rule=rule.name,
        value=fact.value,
        tenant=slug_for(first) if is_own else rule.tenant,
        community=first if is_own else "",
        may_create=first[:_LONGEST_TENANT] if may_create else "",
        site=rule.site,
    )
