"""Prepared statements: they run in Django's transaction, raise its errors, and return rows like the ORM's."""

from __future__ import annotations

import psycopg
import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.forms.models import model_to_dict

from controlplane import database
from controlplane.tenants.models import Tenant
from jobs.interlink.status_reader import conninfo
from jobs.models import Job
from tests.factories import make_job

pytestmark = pytest.mark.django_db


def plans(statement: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement = %s", [statement])
        return int(cursor.fetchone()[0])


def test_a_statement_is_planned_once_however_large_its_numbers_are() -> None:
    statement = "SELECT $1 + 1"
    for number in (1, 70_000, 5_000_000_000):
        assert database.first(statement, [number]) == (number + 1,)
    assert plans(statement) == 1


def test_the_orms_own_statements_are_not_prepared() -> None:
    for _ in range(20):
        Tenant.objects.filter(slug="a").exists()
    with connection.cursor() as cursor:
        cursor.execute("SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%%tenants_tenant%%'")
        assert not [one for (one,) in cursor.fetchall() if one.startswith('SELECT 1 AS "a" FROM "tenants_tenant"')]


@pytest.mark.django_db(transaction=True)
def test_after_a_migration_one_call_fails_and_the_next_works() -> None:
    def look() -> database.Row | None:
        with transaction.atomic():
            return database.first("SELECT changing FROM changing_table WHERE $1 = 1", [1])

    with psycopg.connect(conninfo(), autocommit=True) as another:
        another.execute("CREATE TABLE changing_table AS SELECT 'a'::varchar(10) AS changing")
        try:
            assert look() == ("a",)
            another.execute("ALTER TABLE changing_table ALTER COLUMN changing TYPE varchar(20)")
            with pytest.raises(OperationalError, match="migration"):
                look()
            assert look() == ("a",)
        finally:
            another.execute("DROP TABLE changing_table")


def test_no_row_is_returned_as_none() -> None:
    assert database.first("SELECT id FROM tenants_tenant WHERE id = $1", [0]) is None


def test_a_statement_runs_in_djangos_transaction_and_raises_its_errors() -> None:
    row = make_job()

    def rename_and_double() -> None:
        database.execute("UPDATE jobs_job SET pod_name = 'lost' WHERE id = $1", [row.pk])
        copy = Job.objects.get(pk=row.pk)
        copy.pk = copy.node = None
        database.insert(copy)

    with pytest.raises(IntegrityError, match="job_key_is_unique"), transaction.atomic():
        rename_and_double()
    row.refresh_from_db()
    assert row.pod_name != "lost"


def test_an_inserted_row_equals_the_one_that_the_orm_would_make() -> None:
    model = make_job()
    saved, inserted = Job.objects.get(pk=model.pk), Job.objects.get(pk=model.pk)
    Job.objects.all().delete()
    saved.save(force_insert=True)
    [by_the_orm] = Job.objects.values()
    Job.objects.all().delete()
    inserted.pk = None
    database.insert(inserted)
    [by_hand] = Job.objects.values()
    assert by_hand == {**by_the_orm, "id": inserted.pk}
    inserted.pod_name = "changed"
    inserted.save()
    assert model_to_dict(Job.objects.get()) == model_to_dict(inserted)
