"""What each database role may do, seen from a connection of its own."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import sql

from jobs.models import Job, Transition, UsageRecord

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("role", ["web", "worker"])
def test_a_role_reads_and_writes_rows(database_urls: dict[str, str], role: str) -> None:
    assert rights(database_urls[role], Job._meta.db_table) == {"SELECT", "INSERT", "UPDATE", "DELETE"}


def test_history_and_usage_are_append_only(database_urls: dict[str, str]) -> None:
    for table in (Transition._meta.db_table, UsageRecord._meta.db_table):
        assert rights(database_urls["web"], table) == {"SELECT", "INSERT"}
        assert rights(database_urls["worker"], table) == {"SELECT", "INSERT", "DELETE"}


def rights(url: str, table: str) -> set[str]:
    """The rights on a table, as PostgreSQL itself sees them from inside the connection."""
    names = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER"]
    with psycopg.connect(url) as connection:
        asked = sql.SQL("SELECT name FROM unnest(%s::text[]) AS name WHERE has_table_privilege(%s, name)")
        return {name for (name,) in connection.execute(asked, [names, table])}
