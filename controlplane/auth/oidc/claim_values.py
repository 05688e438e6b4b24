"""Parses the values of an issuer's claims: groups, entitlements and roles. Values that cannot be read get a reason.

An entitlement is a URN of AARC-G069 (`<NS>:group:<GROUP>[:<SUB>]*[:role=<ROLE>][#<AUTHORITY>]`), a URN of GOCDB
(`<NS>:goc.egi.eu:<key>:<SITE>:<Role+Name>@egi.eu`), or any other URN in one of the issuer's namespaces. An issuer may
not assert entitlements outside of its namespaces. Paths are lists of their parts; nothing is percent-decoded. The
functions have no side effects, and raise nothing whatever the claims contain.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from controlplane.auth.oidc.issuer import Issuer

#: How many values of one claim are read, and the longest value in characters.
MOST_VALUES = 2000
LONGEST_VALUE = 1024
#: The characters of a URN (RFC 8141), without the `?` that starts its parameters.
_URN = re.compile(r"[A-Za-z0-9\-._~!$&'()*+,;=@%/:]+")


class Source(StrEnum):
    """The part of the claims that a rule reads."""

    ENTITLEMENTS = "entitlements"
    GROUPS = "groups"
    REALM_ROLES = "realm roles"
    CLIENT_ROLES = "client roles"


@dataclass(frozen=True)
class Ignored:
    """A value that gives nothing, and the reason."""

    claim: str
    value: str
    reason: str


@dataclass(frozen=True)
class Fact:
    """A parsed value. path, role: of a group. entitlement: a URN without its authority. goc: (role, site) in GOCDB."""

    source: Source
    claim: str
    value: str
    path: tuple[str, ...] = ()
    role: str = ""
    entitlement: str = ""
    goc: tuple[str, str] = ("", "")


def facts(issuer: Issuer, claims: Mapping[str, Any]) -> tuple[list[Fact], list[Ignored]]:
    """Parses all values; returns (parsed values, values that cannot be read)."""
    found: list[Fact] = []
    ignored: list[Ignored] = []
    for source, claim, values in _lists(issuer, claims, ignored):
        for value in values[:MOST_VALUES]:
            fact = _fact(issuer, source, claim, value)
            if isinstance(fact, Fact):
                found.append(fact)
            else:
                ignored.append(fact)
    return found, ignored


def with_empty_claims(issuer: Issuer, claims: Mapping[str, Any], *, granted: str) -> dict[str, Any]:
    """Returns the claims, with empty lists for claims that the issuer leaves out when they are empty.

    Keycloak leaves out the groups of a person who is in no group. A missing claim counts as empty if the operator set
    `leaves_out_empty` for the issuer and the scope with the claim's name was granted; without the scope it is unknown.
    granted: the granted scopes, separated by spaces.
    """
    if not issuer.leaves_out_empty:
        return dict(claims)
    names = {*issuer.profile.entitlements, issuer.profile.groups} & set(granted.split())
    return {name: [] for name in names} | dict(claims)


def whole(issuer: Issuer, claims: Mapping[str, Any]) -> set[Source]:
    """Returns the sources that are present and read completely: a value that is not in them does not exist."""
    found = set()
    for source, names in sources(issuer).items():
        values = [_value(issuer, source, claims, name) for name in names]
        lists = [each for each in values if isinstance(each, list)]
        if lists and all(len(each) <= MOST_VALUES for each in lists):
            found.add(source)
    return found


def ignore(claim: str, value: Any, reason: str) -> Ignored:
    """Returns an ignored value, truncated to 200 characters."""
    return Ignored(claim, str(value)[:200], reason)


def sources(issuer: Issuer) -> dict[Source, tuple[str, ...]]:
    """Returns {source: names of its claims} for the issuer's claims about groups; a dot in a name means nesting."""
    found: dict[Source, tuple[str, ...]] = {}
    if issuer.profile.entitlements and issuer.namespaces:
        found[Source.ENTITLEMENTS] = issuer.profile.entitlements
    if issuer.profile.groups:
        found[Source.GROUPS] = (issuer.profile.groups,)
    if issuer.profile.roles:
        found[Source.REALM_ROLES] = ("realm_access.roles",)
        found[Source.CLIENT_ROLES] = (f"resource_access.{issuer.client_id}.roles",)
    return found


def _lists(
    issuer: Issuer, claims: Mapping[str, Any], ignored: list[Ignored]
) -> Iterator[tuple[Source, str, list[Any]]]:
    for source, names in sources(issuer).items():
        for name in names:
            values = _value(issuer, source, claims, name)
            if isinstance(values, list):
                if len(values) > MOST_VALUES:
                    ignored.append(Ignored(name, "", f"Only its first {MOST_VALUES:,} values are read."))
                yield source, name, values
            elif values is not None:
                ignored.append(ignore(name, values, "It is not a list."))


def _value(issuer: Issuer, source: Source, claims: Mapping[str, Any], name: str) -> Any:
    """Returns a claim's value, None if it is missing. Only Keycloak's roles are nested: `wlcg.groups` is one name."""
    if source is Source.REALM_ROLES:
        return _inside(claims.get("realm_access"), "roles")
    if source is Source.CLIENT_ROLES:
        return _inside(_inside(claims.get("resource_access"), issuer.client_id), "roles")
    return claims.get(name)


def _inside(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None


def _fact(issuer: Issuer, source: Source, claim: str, value: Any) -> Fact | Ignored:
    if not isinstance(value, str):
        return ignore(claim, value, "It is not a text.")
    if len(value) > LONGEST_VALUE:
        return ignore(claim, value, f"It is longer than {LONGEST_VALUE:,} characters.")
    if source is Source.ENTITLEMENTS:
        return _entitlement(issuer, claim, value)
    if source is Source.GROUPS:
        return _plain_group(issuer, claim, value)
    return Fact(source, claim, value, role=value)


def _plain_group(issuer: Issuer, claim: str, value: str) -> Fact | Ignored:
    if issuer.profile.rooted and not value.startswith("/"):
        return ignore(
            claim, value, "It does not begin with a slash, so its parent groups are unknown (Full group path is off)."
        )
    path = tuple(value.removeprefix("/").split("/") if issuer.profile.rooted else value.split("/"))
    if not all(path) or not value.isprintable() or any(part.startswith("role=") for part in path):
        return ignore(claim, value, "It is not a path of groups.")
    return Fact(Source.GROUPS, claim, value, path=path)


def _entitlement(issuer: Issuer, claim: str, value: str) -> Fact | Ignored:
    urn, _, authority = value.partition("#")
    if not _URN.fullmatch(urn) or "#" in authority:
        return ignore(claim, value, "It is not a URN.")
    inside = [urn.removeprefix(f"{each}:") for each in issuer.namespaces if urn.startswith(f"{each}:")]
    if not inside:
        return ignore(claim, value, "It is in no namespace of this issuer.")
    fact = Fact(Source.ENTITLEMENTS, claim, value, entitlement=urn)
    for rest in inside:
        if rest.startswith("group:"):
            return _group(fact, rest.removeprefix("group:"))
        if rest.startswith("goc.egi.eu:"):
            return _goc(fact, rest.removeprefix("goc.egi.eu:"))
    return fact


def _group(fact: Fact, rest: str) -> Fact | Ignored:
    parts, role = rest.split(":"), ""
    if len(parts) > 1 and parts[-1].startswith("role="):
        role = parts.pop().removeprefix("role=")
        if not role:
            return ignore(fact.claim, fact.value, "Its role has no name.")
    if not all(parts) or any(part.startswith("role=") for part in parts):
        return ignore(fact.claim, fact.value, "It is not a path of groups.")
    return Fact(fact.source, fact.claim, fact.value, path=tuple(parts), role=role, entitlement=fact.entitlement)


def _goc(fact: Fact, rest: str) -> Fact | Ignored:
    parts = rest.split(":")
    role, at, _ = parts[-1].rpartition("@")
    if len(parts) != 3 or not at or not all((*parts, role)):
        return ignore(fact.claim, fact.value, "It is not a role of GOCDB.")
    goc = (role.replace("+", " "), parts[1])
    return Fact(fact.source, fact.claim, fact.value, entitlement=fact.entitlement, goc=goc)
