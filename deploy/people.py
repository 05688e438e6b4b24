"""The people of the demo, of Keycloak in docker-compose.yml and of the login tests: one for each role, two communities.

A person's roles follow only from these entitlements and groups and from the issuer's rules.
"""

from __future__ import annotations

from dataclasses import dataclass

#: Tenant slug -> the virtual organisation that the rules turn into this tenant.
COMMUNITIES = {"vo-example": "vo.example.org", "climate": "climate.example.org"}
#: The site in GOCDB that the site operator runs.
GOC_SITE = "EXAMPLE-SITE"


def entitlement(group: str, role: str) -> str:
    """Return the entitlement for a role in a group, as EGI Check-in writes it (AARC-G069)."""
    return f"urn:mace:egi.eu:group:{group}:role={role}#aai.egi.eu"


@dataclass(frozen=True)
class Someone:
    """One person. name: the login name. role, tenant: what the rules give for these claims, None: nothing."""

    name: str
    role: str | None = None
    tenant: str | None = None
    entitlements: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    affiliation: str = "member@example.org"

    @property
    def given_name(self) -> str:
        return self.name.partition("-")[0].title()

    @property
    def family_name(self) -> str:
        return self.name.rpartition("-")[2].title()

    @property
    def email(self) -> str:
        return f"{self.name}@example.org"


def manager(name: str, tenant: str) -> Someone:
    group = COMMUNITIES[tenant]
    return Someone(
        name,
        role="manager",
        tenant=tenant,
        entitlements=(entitlement(group, "member"), entitlement(group, "manager")),
        groups=(f"/{group}/managers", f"/{group}"),
    )


PEOPLE = (
    Someone(
        "fed-operator",
        role="federation_operator",
        entitlements=(entitlement("isthmus.egi.eu", "federation-operator"),),
        groups=("/isthmus",),
    ),
    Someone(
        "fed-auditor",
        role="federation_auditor",
        entitlements=(entitlement("isthmus.egi.eu", "federation-auditor"),),
        groups=("/isthmus",),
    ),
    Someone(
        "site-operator",
        role="site_operator",
        entitlements=(f"urn:mace:egi.eu:goc.egi.eu:1234G0:{GOC_SITE}:Site+Operations+Manager@egi.eu",),
    ),
    manager("vo1-manager", "vo-example"),
    Someone(
        "vo1-member",
        role="member",
        tenant="vo-example",
        # Some real values hold an escape. This one gives no role, and must not break the others.
        entitlements=(
            entitlement("vo.example.org", "member"),
            entitlement("vo.example.org:sub%20group", "member"),
        ),
        groups=("/vo.example.org",),
    ),
    manager("vo2-manager", "climate"),
    Someone(
        "vo2-member",
        role="member",
        tenant="climate",
        entitlements=(entitlement("climate.example.org", "member"),),
        groups=("/climate.example.org",),
        affiliation="affiliate@example.net",
    ),
    Someone("no-entitlement"),
)

#: People of a second issuer: one with the name and e-mail address of a person of the first, and one who claims an
#: entitlement in the first issuer's namespace.
STRANGERS = (
    Someone(
        "vo1-member",
        role="manager",
        tenant="vo-example",
        entitlements=("urn:geant:second.example.org:group:vo.example.org:role=manager#second.example.org",),
    ),
    Someone("intruder", entitlements=(entitlement("isthmus.egi.eu", "federation-operator"),)),
)
