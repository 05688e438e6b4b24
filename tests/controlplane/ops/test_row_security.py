"""Row security as PostgreSQL applies it: queries without any filter of the application, as the web and worker roles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.db import connection
from django.utils import timezone

from controlplane.audit import trail
from controlplane.audit.models import Event
from controlplane.auth.memberships import give_role
from controlplane.auth.tokens import issue
from controlplane.ops import row_security
from controlplane.reach import Reach
from controlplane.tenants.models import (
    ApiToken,
    ApprovalRequest,
    Membership,
    Origin,
    Person,
    RoleGrant,
    ServiceAccount,
    Tenant,
    VirtualNode,
)
from controlplane.tenants.scope import seeing, seeing_everything, seeing_reach
from jobs.models import ArchivedLog, Job, Tombstone, Transition, UsageRecord
from jobs.states import State
from sites.models import Allocation, Route, Site
from tests.database_roles import database_role
from tests.factories import make_job, make_node, make_site, make_tenant

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from django.db.models import Model

pytestmark = pytest.mark.django_db(transaction=True)

TENANT_OWNED: list[type[Model]] = [
    Tenant, Membership, VirtualNode, ServiceAccount, ApiToken, ApprovalRequest, Allocation, Route, Job, Transition,
    ArchivedLog, Tombstone, UsageRecord,
]  # fmt: skip


@dataclass(frozen=True)
class Community:
    """A tenant with one row in each table that holds tenants' rows."""

    tenant: Tenant
    person: Person
    site: Site
    job: Job


@pytest.fixture
def ours() -> Community:
    return _community("ours")


@pytest.fixture
def theirs() -> Community:
    return _community("theirs")


def _community(name: str) -> Community:
    tenant, site, person = make_tenant(slug=name), make_site(slug=f"{name}-site"), Person.objects.create_user(name)
    Membership.objects.create(person=person, tenant=tenant, role="member", origin=Origin.MANUAL)
    Allocation.objects.get_or_create(tenant=tenant, site=site)
    node, _ = make_node(tenant=tenant, site=site)
    service = ServiceAccount.objects.create(tenant=tenant, slug=name)
    issue.mint_service(service, scopes=["read"], lifetime=issue.longest())
    ApprovalRequest.objects.create(tenant=tenant, site=site.slug, kind="allocation")
    job = make_job(node=node, site=site, state=State.SUCCEEDED)
    ArchivedLog.objects.create(job=job, container="main", path=name, size=1)
    Tombstone.objects.create(node=node, pod_uid=job.pod_uid)
    UsageRecord.objects.create(
        job=job, tenant=tenant, node=node, site=site, attempt_key=job.attempt_key, native_id="1", pod="a/b", cpus=1,
        gpus=0, nodes=1, cpu_seconds=1, gpu_seconds=0, outcome="succeeded", ended_at=timezone.now(),
        recorded_at=timezone.now(),
    )  # fmt: skip
    trail.record("test.made", "test", name, tenant_id=tenant.pk, site=site.slug)
    return Community(tenant, person, site, job)


def role(name: str, urls: dict[str, str]) -> AbstractContextManager[None]:
    """Use another database role for Django's connection."""
    return database_role(str(psycopg.conninfo.conninfo_to_dict(urls[name])["user"]))


def test_every_table_that_names_a_tenant_is_protected(ours: Community) -> None:
    """This catches new tables: a table names a tenant, a person, a node or a job of a tenant."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT relname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid"
            " WHERE relkind IN ('r', 'p') AND NOT relispartition AND relnamespace = 'public'::regnamespace"
            " AND attname IN ('tenant_id', 'node_id', 'job_id') AND NOT attisdropped"
        )
        named = {name for (name,) in cursor.fetchall()}
        cursor.execute("SELECT relname FROM pg_class WHERE relrowsecurity")
        protected = {name for (name,) in cursor.fetchall()}
    assert named <= protected
    assert protected == set(row_security.VISIBLE)


@pytest.mark.parametrize("model", TENANT_OWNED)
def test_the_web_role_sees_nothing_outside_a_scope(
    model: type[Model], ours: Community, database_urls: dict[str, str]
) -> None:
    assert model._default_manager.exists()
    with role("web", database_urls):
        assert not model._default_manager.exists()


@pytest.mark.parametrize("model", TENANT_OWNED)
def test_a_scope_shows_its_tenant_and_no_other(
    model: type[Model], ours: Community, theirs: Community, database_urls: dict[str, str]
) -> None:
    everything = set(model._default_manager.values_list("pk", flat=True))
    with role("web", database_urls):
        with seeing(tenants=[ours.tenant.pk]):
            seen = set(model._default_manager.values_list("pk", flat=True))
        with seeing(tenants=[theirs.tenant.pk]):
            seen_there = set(model._default_manager.values_list("pk", flat=True))
        with seeing_everything():
            assert set(model._default_manager.values_list("pk", flat=True)) == everything
    assert seen
    assert seen_there
    assert not seen & seen_there


@pytest.mark.parametrize("model", [*TENANT_OWNED, Event])
def test_within_shows_what_the_scope_shows(
    model: Any, ours: Community, theirs: Community, database_urls: dict[str, str]
) -> None:
    """For a tenant, `within(reach)` and row security show the same rows. For a site, `within` never shows more."""
    of_tenant = Reach(tenants=frozenset({ours.tenant.pk}))
    of_site = Reach(sites=frozenset({ours.site.slug}))
    everything = set(model.objects.values_list("pk", flat=True))
    assert set(model.objects.within(Reach(everything=True)).values_list("pk", flat=True)) == everything
    assert not model.objects.within(Reach()).exists()
    for reach in (of_tenant, of_site):
        found = set(model.objects.within(reach).values_list("pk", flat=True))
        with role("web", database_urls), seeing_reach(reach, person=None):
            seen = set(model.objects.values_list("pk", flat=True))
            assert set(model.objects.within(reach).values_list("pk", flat=True)) == found
        assert found == seen if reach is of_tenant else found <= seen


@pytest.mark.parametrize("model", [Tenant, Allocation, Route, Job, Transition, ArchivedLog, UsageRecord, Event])
def test_a_sites_reach_is_what_is_at_the_site(model: Any, ours: Community, theirs: Community) -> None:
    here, there = (
        set(model.objects.within(Reach(sites=frozenset({each.site.slug}))).values_list("pk", flat=True))
        for each in (ours, theirs)
    )
    assert here
    assert there
    assert not here & there


def test_a_personal_token_confined_to_a_tenant_does_not_belong_to_the_tenant(ours: Community) -> None:
    row, _ = issue.mint_personal(ours.person, scopes=["read"], tenant=ours.tenant, lifetime=issue.longest())
    found = ApiToken.objects.within(Reach(tenants=frozenset({ours.tenant.pk})))
    assert row not in found
    assert found.filter(service__isnull=False).exists()


def test_a_site_role_is_visible_with_its_site(ours: Community, theirs: Community) -> None:
    for each in (ours, theirs):
        give_role(each.person, RoleGrant.Role.SITE_OPERATOR, site=each.site.slug)
    found = RoleGrant.objects.within(Reach(tenants=frozenset({theirs.tenant.pk}), sites=frozenset({ours.site.slug})))
    assert [grant.person_id for grant in found] == [ours.person.pk]


def test_a_sites_scope_shows_jobs_of_every_tenant_there(
    ours: Community, theirs: Community, database_urls: dict[str, str]
) -> None:
    with role("web", database_urls), seeing(site_slugs=[theirs.site.slug]):
        assert [job.pk for job in Job.objects.all()] == [theirs.job.pk]
        assert [line.job_id for line in Transition.objects.all()] == [theirs.job.pk]
        assert [each.tenant_id for each in Allocation.objects.all()] == [theirs.tenant.pk]
        assert [each.slug for each in Tenant.objects.all()] == ["theirs"]
        assert [each.slug for each in VirtualNode.objects.all()] == [Job.objects.get().node.slug]  # type: ignore[union-attr]
        assert not Membership.objects.exists()
        assert not ApiToken.objects.exists()


def test_a_person_sees_their_own_memberships(ours: Community, theirs: Community, database_urls: dict[str, str]) -> None:
    with role("web", database_urls), seeing(person=ours.person.pk):
        assert [each.person_id for each in Membership.objects.all()] == [ours.person.pk]


def test_people_cannot_give_themselves_a_membership(ours: Community, database_urls: dict[str, str]) -> None:
    with role("web", database_urls), seeing(person=ours.person.pk):
        assert not Membership.objects.update(role="manager")
        assert Membership.objects.get().role == "member"


def test_another_tenants_row_can_be_neither_written_nor_moved(
    ours: Community, theirs: Community, database_urls: dict[str, str]
) -> None:
    with role("web", database_urls):
        with seeing(tenants=[ours.tenant.pk]):
            assert not Job.objects.filter(pk=theirs.job.pk).update(reason="Mine")
        for statement in (
            "UPDATE jobs_job SET tenant_id = %s",
            "INSERT INTO tenants_serviceaccount (tenant_id, slug, name, role, enabled, created_at)"
            " VALUES (%s, 'spy', '', 'manager', true, now())",
        ):
            with pytest.raises(Exception, match="row-level security"), seeing(tenants=[ours.tenant.pk]):
                _execute(statement, [theirs.tenant.pk])


def test_a_scope_ends_with_its_transaction_and_an_inner_one_restores_the_outer(
    ours: Community, theirs: Community, database_urls: dict[str, str]
) -> None:
    with role("web", database_urls):
        with seeing(tenants=[ours.tenant.pk]):
            with seeing(tenants=[theirs.tenant.pk]):
                assert Job.objects.get() == theirs.job
            assert Job.objects.get() == ours.job
        assert not Job.objects.exists()


def test_the_worker_serves_all_tenants(ours: Community, theirs: Community, database_urls: dict[str, str]) -> None:
    with role("worker", database_urls):
        assert Job.objects.count() == 2


@pytest.mark.parametrize("name", ["web", "worker"])
def test_no_role_of_the_service_bypasses_row_security(
    name: str, ours: Community, database_urls: dict[str, str]
) -> None:
    with psycopg.connect(database_urls[name]) as database:
        found = database.execute("SELECT rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user").fetchone()
        owned = database.execute("SELECT count(*) FROM pg_class WHERE relowner = current_user::regrole").fetchone()
    assert found == (False, False)
    assert owned == (0,)


def _execute(statement: str, values: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)


def test_only_web_may_call_functions_that_bypass_row_security(
    database_urls: dict[str, str],
) -> None:
    """Their search_path has pg_catalog first and pg_temp last, so that no object of the caller replaces PostgreSQL's
    own.
    """
    roles = [str(psycopg.conninfo.conninfo_to_dict(database_urls[name])["user"]) for name in ("web", "worker")]
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT oid::regprocedure::text, proconfig, has_function_privilege('public', oid, 'EXECUTE'),"
            " has_function_privilege(%s, oid, 'EXECUTE'), has_function_privilege(%s, oid, 'EXECUTE')"
            " FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace",
            roles,
        )
        found = cursor.fetchall()
    assert {name.partition("(")[0] for name, *_ in found} == {name.partition("(")[0] for name in row_security.PASSES}
    for name, config, *may in found:
        assert (name, config, may) == (name, ["search_path=pg_catalog, pg_temp"], [False, True, False])
