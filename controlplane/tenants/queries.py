"""Queries on tenants and their objects, for the API, the pages and exports.

`wanted` holds filters by their names in the API; all of them must match. A function that returns one object by slug or
id raises NotFound if there is none within reach.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.db.models import OuterRef, Q, Subquery

from controlplane.tenants.models import ApprovalRequest, Membership, Person, RoleGrant, ServiceAccount, Tenant
from controlplane.tenants.scope import seeing, seeing_everything

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from django.db.models import QuerySet

    from controlplane.reach import Reach, Reached
    from controlplane.tenants.models import ApiToken, VirtualNode

    Rows = TypeVar("Rows", bound=QuerySet[Any])


def tenants(reach: Reach, *, search: str = "") -> Reached[Tenant]:
    """Returns the tenants within reach, sorted by slug. search: a part of the slug or the name."""
    rows = Tenant.objects.within(reach).order_by("slug")
    return rows.filter(Q(slug__icontains=search) | Q(name__icontains=search)) if search else rows


def tenant(reach: Reach, slug: str) -> Tenant:
    return Tenant.objects.within(reach).one(f"There is no tenant {slug} here.", slug=slug)


def tenant_id_anywhere(slug: str) -> int | None:
    """Returns the id of the tenant with this slug, even if the caller cannot see the tenant; None if there is none."""
    with seeing_everything():
        return Tenant.objects.filter(slug=slug).values_list("pk", flat=True).first()


def ids_of_slug(slug: str) -> QuerySet[Tenant, int]:
    """Returns a sub-query for the id of the tenant with this slug; empty if the caller cannot see the tenant."""
    return Tenant.objects.filter(slug=slug).values_list("pk", flat=True)


def with_tenant_slug(rows: Rows) -> Rows:
    """Adds `tenant_slug` to rows that have a `tenant_id`: the tenant's slug, None if the caller cannot see it."""
    # A sub-query instead of a join: a tenant that the caller cannot see must not hide the row.
    slug = Tenant.objects.filter(pk=OuterRef("tenant_id")).values("slug")[:1]
    annotated: Any = rows.annotate(tenant_slug=Subquery(slug))
    found: Rows = annotated
    return found


def members(tenant: Tenant, wanted: Mapping[str, Any], *, now: datetime) -> Reached[Membership]:
    """Returns a tenant's memberships and their people. wanted: origin, role; with lapsed=True, only lapsed ones."""
    rows = Membership.objects.filter(tenant=tenant)
    rows = rows.lapsed(now=now) if wanted.get("lapsed") else rows.in_force(now=now)
    return rows.matching(wanted, {"origin": "origin", "role": "role"}).select_related("person")


def member(tenant: Tenant, pk: int) -> Membership:
    rows = Membership.objects.filter(tenant=tenant)
    return rows.one(f"The tenant {tenant.slug} has no membership {pk}.", pk=pk)


def memberships_and_roles(person: Person) -> tuple[list[Membership], list[RoleGrant]]:
    """Returns all memberships (with their tenants) and roles of a person, also lapsed ones, to show to that person."""
    with seeing(person=person.pk):
        tenant_ids = list(Membership.objects.filter(person=person).values_list("tenant_id", flat=True))
    with seeing(tenants=tenant_ids, person=person.pk):
        memberships = Membership.objects.filter(person=person).select_related("tenant").order_by("tenant__name", "role")
        grants = RoleGrant.objects.filter(person=person).order_by("role", "site")
        return list(memberships), list(grants)


def role_grants(reach: Reach, wanted: Mapping[str, Any], *, now: datetime) -> Reached[RoleGrant]:
    """Returns the roles that are in force, with their people. wanted: role, site (a slug)."""
    rows = RoleGrant.objects.within(reach).in_force(now=now)
    return rows.matching(wanted, {"role": "role", "site": "site"}).select_related("person")


def role_grant(reach: Reach, pk: int) -> RoleGrant:
    return RoleGrant.objects.within(reach).one(f"There is no role {pk}.", pk=pk)


def service_accounts(tenant: Tenant) -> Reached[ServiceAccount]:
    return ServiceAccount.objects.filter(tenant=tenant)


def service_account(tenant: Tenant, slug: str) -> ServiceAccount:
    sentence = f"The tenant {tenant.slug} has no service account {slug}."
    return service_accounts(tenant).one(sentence, slug=slug)


def tokens_of(owner: VirtualNode | ServiceAccount) -> Reached[ApiToken]:
    """Returns an owner's tokens, except those of the token endpoint: it makes hundreds a day."""
    return owner.tokens.filter(automatic=False).select_related("tenant")


def requests(reach: Reach, wanted: Mapping[str, Any]) -> Reached[ApprovalRequest]:
    """Returns requests with the people who made and decided them. wanted: state (a list), kind, tenant, site."""
    lookups = {"state": "state__in", "kind": "kind", "tenant": "tenant__slug", "site": "site"}
    rows = ApprovalRequest.objects.within(reach).matching(wanted, lookups)
    return with_tenant_slug(rows.select_related("asked_by", "decided_by"))


def request(reach: Reach, pk: int) -> ApprovalRequest:
    return requests(reach, {}).one(f"There is no request {pk} here.", pk=pk)


def person(pk: int | None) -> Person | None:
    return None if pk is None else Person.objects.filter(pk=pk).first()


def person_within(reach: Reach, pk: int) -> Person | None:
    """Returns a person by id, or None. The person must be a member of a tenant within reach.

    Otherwise a manager could try ids and learn the names of other tenants' people.
    """
    people = Person.objects.filter(pk=pk)
    return people.first() if reach.everything else people.filter(memberships__tenant__in=reach.tenants).first()


def person_of_issuer(issuer: str, subject: str) -> Person | None:
    return Person.objects.filter(issuer=issuer, subject=subject).first()
