"""The test database, and the addresses of the servers that tests/bootstrap.py started."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client, TransactionTestCase
from hypothesis import HealthCheck, settings

from controlplane import remembered
from controlplane.environment import ROLES
from controlplane.ops.database_roles import with_database
from controlplane.tenants.models import Person
from jobs.interlink.status_reader import reader
from sites.connectors.memory.site import forget_memory_sites
from tests.api import Api, role_of
from tests.federation import Communities, Federation, make_communities, make_federation

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django import DjangoDbBlocker

#: Rows that `migrate` writes into every database and that tests of migrations expect.
MADE_BY_MIGRATE = frozenset({"django_content_type", "auth_permission"})

# A slow or busy machine must not fail a test. Hypothesis' own profile for CI stays in force there.
settings.register_profile("isthmus", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("isthmus")


@pytest.fixture(autouse=True)
def _nothing_remembered() -> Iterator[None]:
    """Start each test like a new process: what was remembered belongs to deleted rows."""
    yield
    remembered.forget_everything()


@pytest.fixture(scope="session", autouse=True)
def _emptied_by_deletes() -> Iterator[None]:
    """Empty all tables with DELETE after a test that commits.

    Django would truncate all tables but the audit trail, which refuses. This empties the trail as well, and DELETE is
    ten times faster than TRUNCATE for the few rows of a test.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", _delete_all_rows)
        yield


def _delete_all_rows(_: TransactionTestCase) -> None:
    tables = connection.introspection.django_table_names(only_existing=True, include_views=False)
    deletes = [f"DELETE FROM {table}" for table in tables if table not in MADE_BY_MIGRATE]
    with transaction.atomic(), connection.cursor() as cursor:  # foreign keys are checked at the end of the transaction
        cursor.execute("ALTER TABLE audit_event DISABLE TRIGGER USER")
        cursor.execute("; ".join([*deletes, "DELETE FROM audit_event"]))
        cursor.execute("ALTER TABLE audit_event ENABLE TRIGGER USER")


@pytest.fixture(scope="session")
def django_db_modify_db_settings() -> None:
    """Use a name that no other run uses, in case several runs share the server of DATABASE_URL."""
    connection.settings_dict["TEST"]["NAME"] = f"test_isthmus_{os.getpid()}_{secrets.token_hex(4)}"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Let pytest-django migrate as the owner, then give the web and worker roles their rights, as in production."""
    with django_db_blocker.unblock():
        call_command("prepare_database", verbosity=0)
    reader.cache_clear()  # an earlier test may have cached a reader for the database in the settings


@pytest.fixture(scope="session")
def database_urls(django_db_setup: None) -> dict[str, str]:
    """The test database's URL by role (owner, web, worker), for a test's own connections and processes."""
    name = str(connection.settings_dict["NAME"])
    return {role: with_database(os.environ[f"DATABASE_{role.upper()}_URL"], name) for role in ROLES}


@pytest.fixture
def api(db: None, database_urls: dict[str, str]) -> Api:
    """The REST API; its queries use the web service's database role."""
    return Api(role_of(database_urls["web"]))


@pytest.fixture
def federation(api: Api) -> Iterator[Federation]:
    """Two tenants, two in-memory sites, and a person for every role."""
    yield make_federation(api)
    forget_memory_sites()


@pytest.fixture
def communities(federation: Federation) -> Communities:
    """The same two tenants with allocations, nodes, programs and jobs."""
    return make_communities(federation)


@pytest.fixture
def operator(db: None) -> Client:
    """A browser in which an administrator is logged in."""
    client = Client()
    client.force_login(Person.objects.create_superuser("operator"))
    return client
