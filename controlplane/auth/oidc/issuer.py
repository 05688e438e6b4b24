"""The configuration of an OIDC issuer: how to contact it, which of its tokens to accept, and what its claims give."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Give(StrEnum):
    """What a rule can give: a role in a tenant, at a site, or in the federation."""

    MEMBER = "member"
    MANAGER = "manager"
    SITE_OPERATOR = "site_operator"
    FEDERATION_OPERATOR = "federation_operator"
    FEDERATION_AUDITOR = "federation_auditor"


#: Instead of a tenant's slug: the tenant of the group that matched the `*` at the beginning of the rule's path.
FIRST_PART = "{1}"
#: In a rule's path: matches any single part.
ANY = "*"


@dataclass(frozen=True)
class Rule:
    """One of an issuer's rules: a pattern, and what people with a matching claim get.

    Exactly one pattern is set. group: the parts of a path; role: the `role=` part of an entitlement (if empty, only
    groups without a role match). entitlement: a complete entitlement, compared without its authority (`#...`). goc_role
    and goc_site: a role in GOCDB. realm_role, client_role: a role in Keycloak. tenant: a slug, or FIRST_PART.
    """

    name: str
    give: Give
    group: tuple[str, ...] = ()
    role: str = ""
    entitlement: str = ""
    goc_role: str = ""
    goc_site: str = ""
    realm_role: str = ""
    client_role: str = ""
    tenant: str = ""
    site: str = ""


@dataclass(frozen=True)
class Profile:
    """The defaults for one kind of issuer: the scopes to request, and the claims with groups.

    entitlements: names of claims with entitlements (URNs). groups: the claim with plain group paths. rooted: whether
    these begin with a slash. roles: whether Keycloak's realm and client roles are read. namespaces: see `Issuer`.
    """

    scopes: tuple[str, ...]
    entitlements: tuple[str, ...] = ()
    groups: str = ""
    rooted: bool = False
    roles: bool = False
    namespaces: tuple[str, ...] = ()


_WHO = ("openid", "profile", "email")
_ENTITLEMENTS = ("entitlements", "eduperson_entitlement")
PROFILES = {
    # Both scopes, because many of its clients still get only the older claim.
    "egi-check-in": Profile((*_WHO, *_ENTITLEMENTS), _ENTITLEMENTS, namespaces=("urn:mace:egi.eu",)),
    "indigo-iam": Profile(_WHO, groups="groups"),
    "wlcg-iam": Profile((*_WHO, "wlcg.groups"), groups="wlcg.groups", rooted=True),
    "aarc-iam": Profile((*_WHO, *_ENTITLEMENTS), _ENTITLEMENTS),
    # A group without a leading slash comes from a mapper without "Full group path": its parent groups are unknown.
    "keycloak": Profile(_WHO, _ENTITLEMENTS, groups="groups", rooted=True, roles=True),
}


@dataclass(frozen=True)
class Issuer:
    """One configured issuer.

    issuer: its exact `iss`. namespaces: it may assert entitlements only in these. audiences: accepted values of `aud`
    in access tokens. clients, shared_clients: accepted clients (`azp`) of access tokens without `aud`; tokens of shared
    clients may only read. introspection: whether to ask it about opaque tokens and missing groups. tenant: the slug of
    the tenant of its capability tokens. create_tenants: patterns (fnmatch) of groups whose tenant is created at the
    first login. leaves_out_empty: whether it leaves out empty claims (claim_values.with_empty_claims).
    """

    alias: str
    name: str
    profile: Profile
    issuer: str
    client_id: str
    client_secret: str = field(repr=False)
    scopes: tuple[str, ...] = ()
    namespaces: frozenset[str] = frozenset()
    algorithms: tuple[str, ...] = ("RS256",)
    audiences: frozenset[str] = frozenset()
    clients: frozenset[str] = frozenset()
    shared_clients: frozenset[str] = frozenset()
    introspection: bool = False
    leaves_out_empty: bool = False
    tenant: str = ""
    create_tenants: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()
