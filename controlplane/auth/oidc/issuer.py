"""One configured OIDC issuer: how it is asked, whose tokens of it are taken, and what its claims give."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Give(StrEnum):
    """What a rule can give: a role in a tenant, of a site, or of the federation."""

    MEMBER = "member"
    MANAGER = "manager"
    SITE_OPERATOR = "site_operator"
    FEDERATION_OPERATOR = "federation_operator"
    FEDERATION_AUDITOR = "federation_auditor"


#: In place of a tenant's slug: the tenant of the group that the `*` at the head of the rule's path stood for.
FIRST_PART = "{1}"
#: In a rule's path: any one part.
ANY = "*"


@dataclass(frozen=True)
class Rule:
    """One line of an issuer's rules: a pattern, and what whoever shows it is given.

    Exactly one pattern is set. group: a path, part by part; role: the `role=` part of an entitlement, and without it
    only groups without one match. entitlement: a whole one, whose authority (`#...`) does not count. goc_role and
    goc_site: a role in GOCDB. realm_role, client_role: Keycloak's. tenant: a slug, or FIRST_PART.
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
    """What issuers of one kind have in common: the scopes to ask for, and where groups stand in their claims.

    entitlements: claims with entitlements (URNs). groups: the claim with plain group paths; rooted: whether these
    begin with a slash. roles: whether Keycloak's realm and client roles are read.
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
    # Both scopes: the older claim is what many of its clients still get.
    "egi-check-in": Profile((*_WHO, *_ENTITLEMENTS), _ENTITLEMENTS, namespaces=("urn:mace:egi.eu",)),
    "indigo-iam": Profile(_WHO, groups="groups"),
    "wlcg-iam": Profile((*_WHO, "wlcg.groups"), groups="wlcg.groups", rooted=True),
    "aarc-iam": Profile((*_WHO, *_ENTITLEMENTS), _ENTITLEMENTS),
    # A group without the leading slash comes from a mapper without "Full group path": it may lie below any other.
    "keycloak": Profile(_WHO, _ENTITLEMENTS, groups="groups", rooted=True, roles=True),
}


@dataclass(frozen=True)
class Issuer:
    """One configured issuer.

    issuer: its exact `iss`. namespaces: the only ones in which it may assert entitlements. audiences, clients,
    shared_clients: whose access tokens are taken (`aud`; `azp` where there is no `aud`; those of shared clients may
    only read). introspection: whether it is asked about opaque tokens and missing groups. tenant: the slug of the
    tenant of its capability tokens. create_tenants: patterns (fnmatch) of groups whose tenant is made at first sight.
    leaves_out_empty: whether a claim that would be empty is not there at all (claim_values.with_empty_claims).
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
