"""What is read of tenants and of what belongs to them, by the API, the pages and exports alike.

`wanted`: filters by their names in the API; all that are there must fit. What is asked for by its name and is not
within reach is NotFound.
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
    """By slug. search: a part of the slug or the name."""
    rows = Tenant.objects.within(reach).order_by("slug")
    return rows.filter(Q(slug__icontains=search) | Q(name__icontains=search)) if search else rows


def tenant(reach: Reach, slug: str) -> Tenant:
    return Tenant.objects.within(reach).one(f"There is no tenant {slug} here.", slug=slug)


def tenant_id_anywhere(slug: str) -> int | None:
    """The id of a tenant that the caller need not see, None where there is none of this slug."""
    with seeing_everything():
        return Tenant.objects.filter(slug=slug).values_list("pk", flat=True).first()


def ids_of_slug(slug: str) -> QuerySet[Tenant, int]:
    """The id of the tenant of this slug, to be asked for within another statement; none where it cannot be seen."""
    return Tenant.objects.filter(slug=slug).values_list("pk", flat=True)


def with_tenant_slug(rows: Rows) -> Rows:
    """Rows with a `tenant_id`, each with the slug of its tenant as `tenant_slug`; None where that cannot be seen."""
    # Not a join: a tenant that the caller cannot see must not hide the row.
    slug = Tenant.objects.filter(pk=OuterRef("tenant_id")).values("slug")[:1]
    annotated: Any = rows.annotate(tenant_slug=Subquery(slug))
    found: Rows = annotated
    return found


def members(tenant: Tenant, wanted: Mapping[str, Any], *, now: datetime) -> Reached[Membership]:
    """With their people. wanted: origin, role; and `lapsed`, for those instead that count no longer."""
    rows = Membership.objects.filter(tenant=tenant)
    counting = rows.lapsed(now=now) if wanted.get("lapsed") else rows.in_force(now=now)
    return counting.matching(wanted, {"origin": "origin", "role": "role"}).select_related("person")


def member(tenant: Tenant, pk: int) -> Membership:
    rows = Membership.objects.filter(tenant=tenant)
    return rows.one(f"The tenant {tenant.slug} has no membership {pk}.", pk=pk)


def memberships_and_roles(person: Person) -> tuple[list[Membership], list[RoleGrant]]:
    """All that the person holds, whether it counts now or not, with the tenants' names: for the person to see."""
    with seeing(person=person.pk):
        theirs = list(Membership.objects.filter(person=person).values_list("tenant_id", flat=True))
    with seeing(tenants=theirs, person=person.pk):
        memberships = Membership.objects.filter(person=person).select_related("tenant").order_by("tenant__name", "role")
        grants = RoleGrant.objects.filter(person=person).order_by("role", "site")
        return list(memberships), list(grants)


def role_grants(reach: Reach, wanted: Mapping[str, Any], *, now: datetime) -> Reached[RoleGrant]:
    """Those that count, with their people. wanted: role, site (its slug)."""
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
    """All but those of the token endpoint, of which there are hundreds a day."""
    return owner.tokens.filter(automatic=False).select_related("tenant")


def requests(reach: Reach, wanted: Mapping[str, Any]) -> Reached[ApprovalRequest]:
    """With who asked and who decided. wanted: state (any of several), kind, tenant, site (slugs)."""
    lookups = {"state": "state__in", "kind": "kind", "tenant": "tenant__slug", "site": "site"}
    rows = ApprovalRequest.objects.within(reach).matching(wanted, lookups)
    return with_tenant_slug(rows.select_related("asked_by", "decided_by"))


def request(reach: Reach, pk: int) -> ApprovalRequest:
    return requests(reach, {}).one(f"There is no request {pk} here.", pk=pk)


def person(pk: int | None) -> Person | None:
    return None if pk is None else Person.objects.filter(pk=pk).first()


def person_within(reach: Reach, pk: int) -> Person | None:
    """Only the members of tenants within reach: a number would tell a manager the names of other tenants' people."""
    people = Person.objects.filter(pk=pk)
    return people.first() if reach.everything else people.filter(memberships__tenant__in=reach.tenants).first()


def person_of_issuer(issuer: str, subject: str) -> Person | None:
    return Person.objects.filter(issuer=issuer, subject=subject).first()
