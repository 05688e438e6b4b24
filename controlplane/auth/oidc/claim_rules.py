"""From what an issuer claims about someone to what that gives here. Pure: no database, no network.

Values are compared whole, part by part: no prefixes, and membership of a child does not imply the parent. The authority
of an entitlement does not count.

A claim that is not there says nothing; one that is empty says "none" (`Verdict.decided`).
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
    """Something that a rule gives. value: the claim's value that it matched.

    tenant: the slug, for a member or manager. community: the group whose tenant it is, where the rule names none by
    its slug; `tenant` is then what a new one would be called. may_create: the name for a tenant that may be created.
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
        """membership or role."""
        return "membership" if self.give in {Give.MEMBER, Give.MANAGER} else "role"


@dataclass(frozen=True)
class Verdict:
    """What claims give.

    decided: the rules on which they say all there is to say, so that what these do not give is over. is_known: whether
    there were claims about groups at all.
    """

    given: tuple[Given, ...] = ()
    ignored: tuple[Ignored, ...] = ()
    decided: frozenset[str] = frozenset()
    is_known: bool = False


def try_claims(issuer: Issuer, claims: Mapping[str, Any]) -> Verdict:
    """What these claims of this issuer give, by which rule, and what of them gives nothing."""
    found, ignored = facts(issuer, claims)
    # Of several rules that give the same, the first in the file.
    given = {
        (each.give, each.tenant, each.community, each.site): each
        for each in reversed([*_given(issuer, found, ignored)])
    }
    complete, offered = whole(issuer, claims), sources(issuer).keys()
    # The rules whose every source is there and whole.
    decided = frozenset(rule.name for rule in issuer.rules if (asked := _asked(rule) & offered) and asked <= complete)
    return Verdict(tuple(reversed(given.values())), tuple(ignored), decided, bool(complete))


def slug_for(community: str) -> str:
    """What the tenant of a group is called in URLs. Not unique: two groups may come to the same."""
    slug = re.sub(r"[^a-z0-9]+", "-", community.lower()).strip("-")
    return slug[:50].strip("-") or f"tenant-{hashlib.sha256(community.encode()).hexdigest()[:8]}"


def _asked(rule: Rule) -> set[Source]:
    """Where a rule looks. Plain groups have no roles."""
    if rule.realm_role:
        return {Source.REALM_ROLES}
    if rule.client_role:
        return {Source.CLIENT_ROLES}
    if rule.group and not rule.role:
        return {Source.ENTITLEMENTS, Source.GROUPS}
    return {Source.ENTITLEMENTS}


def _given(issuer: Issuer, found: list[Fact], ignored: list[Ignored]) -> Iterator[Given]:
    """By rule, in the order of the file; values that no rule matches are told of."""
    matched: set[str] = set()
    for rule in issuer.rules:
        for fact in found:
            if _matches(rule, fact):
                matched.add(fact.value)
                yield _gift(issuer, rule, fact)
    ignored += [ignore(fact.claim, fact.value, "No rule matches it.") for fact in found if fact.value not in matched]


def _matches(rule: Rule, fact: Fact) -> bool:
    if rule.group:
        return (
            len(fact.path) == len(rule.group)
            and fact.role == rule.role
            and all(wanted in {ANY, part} for wanted, part in zip(rule.group, fact.path, strict=True))
            and (rule.tenant != FIRST_PART or len(fact.path[0]) <= _LONGEST_TENANT)
        )
    if rule.entitlement:
        return fact.entitlement == rule.entitlement.partition("#")[0]
    if rule.goc_role:
        return fact.goc == (rule.goc_role, rule.goc_site)
    source, role = (Source.REALM_ROLES, rule.realm_role) if rule.realm_role else (Source.CLIENT_ROLES, rule.client_role)
    return fact.source is source and fact.role == role


def _gift(issuer: Issuer, rule: Rule, fact: Fact) -> Given:
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
