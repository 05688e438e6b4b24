"""Creates the demo's communities and people, with a token each. The issuer's rules give the roles, as at a login."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils import timezone

from controlplane.auth.oidc import issuers
from controlplane.auth.oidc import people as people_of_issuers
from controlplane.auth.oidc.apply_claims import apply_claims
from controlplane.auth.roles import Scope
from controlplane.auth.tokens import issue
from controlplane.tenants.models import Tenant
from controlplane.tenants.scope import seeing_everything
from deploy.demo import identity, seed
from deploy.people import COMMUNITIES, PEOPLE
from sites.models import Allocation

if TYPE_CHECKING:
    from controlplane.tenants.models import Person
    from deploy.people import Someone
    from sites.models import Site

NAMES = {"vo-example": "Example community", "climate": "Climate community"}


@dataclass(frozen=True)
class Holder:
    """One person, as demo.json lists them. role: as in controlplane/auth/roles.py. tenant: a slug, or None."""

    name: str
    role: str | None
    tenant: str | None
    token: str


def communities(site: Site) -> None:
    """Create a tenant for each community, with a small allocation at the site."""
    for slug in COMMUNITIES:
        tenant, _ = Tenant.objects.get_or_create(slug=slug, defaults={"name": NAMES[slug]})
        limits = {"pods": 20, "cpus": 4, "memory": 8 * 1024**3, "cpu_hours": 100}
        Allocation.objects.get_or_create(tenant=tenant, site=site, defaults=limits)


def people(known: dict[str, str]) -> list[Holder]:
    """Create the people of deploy/people.py. A token in `known` (name -> token) stays while it is valid."""
    holders = []
    for someone in PEOPLE:
        person, token = _person(someone), known.get(someone.name, "")
        if not seed.is_good(token, person=person):
            scopes = [scope.value for scope in Scope]
            _, token = issue.mint_personal(person, scopes=scopes, label="make demo", lifetime=issue.longest())
        holders.append(Holder(name=someone.name, role=someone.role, tenant=someone.tenant, token=token))
    return holders


def _person(someone: Someone) -> Person:
    """Create the person that a login finds, with the memberships that a login gives."""
    issuer = issuers.by_alias(identity.ALIAS)
    assert issuer, "the demo has written the file that names it"  # noqa: S101
    claims = identity.claims(someone)
    with seeing_everything():
        person = people_of_issuers.arrive(issuer, someone.name, claims)
    apply_claims(person, issuer, claims, now=timezone.now())
    return person
