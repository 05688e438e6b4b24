"""The three database roles and their rights. Uses PostgreSQL only, without Django.

The owner owns the database and its tables, and runs migrations. The web and worker roles read and write rows; they are
not superusers, are not exempt from row security, and own nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString, Protocol
from urllib.parse import urlsplit

from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterable


class Cursor(Protocol):
    """A psycopg cursor, or Django's around one."""

    def execute(self, query: Any, params: Any = None, /) -> Any: ...

    def fetchone(self) -> Any: ...


def with_database(url: str, name: str) -> str:
    """Returns the URL of another database on the same server, for the same role."""
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def exists(cursor: Cursor, role: str) -> bool:
    cursor.execute("SELECT FROM pg_roles WHERE rolname = %s", [role])
    return cursor.fetchone() is not None


def ensure_login(cursor: Cursor, role: str, password: str) -> None:
    """Creates `role` if missing, sets its password, and removes attributes that our roles must not have.

    The cursor must be a superuser's.
    """
    if not exists(cursor, role):
        create_login(cursor, role, password)
    attributes: LiteralString = "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB"
    cursor.execute(_about(role, "ALTER ROLE {role} " + attributes + " PASSWORD {password}", password=password))


def create_login(cursor: Cursor, role: str, password: str) -> None:
    """Creates `role` with only the right to log in. The cursor's role needs CREATEROLE."""
    cursor.execute(_about(role, "CREATE ROLE {role} LOGIN PASSWORD {password}", password=password))


def sees_past_row_security(cursor: Cursor, role: str) -> bool:
    cursor.execute("SELECT rolsuper OR rolbypassrls FROM pg_roles WHERE rolname = %s", [role])
    return bool(cursor.fetchone()[0])


def may_create_tables(cursor: Cursor, role: str) -> bool:
    cursor.execute("SELECT has_schema_privilege(%s, 'public', 'CREATE')", [role])
    return bool(cursor.fetchone()[0])


def grant_schema(cursor: Cursor, role: str) -> None:
    """Lets `role` read and write the rows of every table, present and future, but not change the tables themselves."""
    for statement in _SCHEMA:
        cursor.execute(_about(role, statement))


def restrict_table(cursor: Cursor, role: str, table: str, rights: Iterable[LiteralString]) -> None:
    """Gives `role` exactly `rights` on `table`."""
    cursor.execute(_about(role, "REVOKE ALL ON {table} FROM {role}", table=table))
    for right in rights:
        cursor.execute(_about(role, "GRANT " + right + " ON {table} TO {role}", table=table))


_SCHEMA: tuple[LiteralString, ...] = (
    "GRANT USAGE ON SCHEMA public TO {role}",
    "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {role}",
    "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {role}",
)


def _about(role: str, statement: LiteralString, *, table: str = "", password: str = "") -> sql.Composed:
    return sql.SQL(statement).format(
        role=sql.Identifier(role), table=sql.Identifier(table), password=sql.Literal(password)
    )
