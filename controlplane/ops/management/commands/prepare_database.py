"""`manage.py prepare_database`: makes an empty or older database ready for the service. It is safe to repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString
from urllib.parse import unquote, urlsplit

import psycopg
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import IntegrityError, ProgrammingError, connection, transaction
from django.utils import timezone

from controlplane.audit import months
from controlplane.environment import database_url, string
from controlplane.ops import database_roles, row_security

if TYPE_CHECKING:
    from django.db.backends.utils import CursorWrapper

ONE_AT_A_TIME = 0x15784055  # the advisory lock of this command, because replicas start at the same time
MIGRATIONS = "django_migrations"
# History and usage are never changed. The worker deletes rows past their retention; a usage record outlives its job.
APPEND_ONLY: dict[str, dict[str, tuple[LiteralString, ...]]] = {
    "jobs.Transition": {"web": ("SELECT", "INSERT"), "worker": ("SELECT", "INSERT", "DELETE")},
    "audit.Event": {"web": ("SELECT", "INSERT"), "worker": ("SELECT", "INSERT")},
    "jobs.UsageRecord": {"web": ("SELECT", "INSERT"), "worker": ("SELECT", "INSERT", "DELETE", "UPDATE (job_id)")},
}


class Command(BaseCommand):
    help = "Runs migrations as the owner, creates missing web and worker roles, and grants them the rights they need."

    def handle(self, *args: Any, **options: Any) -> None:
        if string("ISTHMUS_DATABASE_ROLE", default="owner") != "owner":
            raise CommandError("Run this with ISTHMUS_DATABASE_ROLE=owner: only the owner changes tables.")
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_lock(%s)", [ONE_AT_A_TIME])
            try:
                call_command("migrate", interactive=False, verbosity=options["verbosity"])
                with transaction.atomic():
                    months.create_partitions(now=timezone.now())
                    self._grant_to_others(cursor)
            finally:
                cursor.execute("SELECT pg_advisory_unlock(%s)", [ONE_AT_A_TIME])

    def _grant_to_others(self, cursor: CursorWrapper) -> None:
        cursor.execute("SELECT current_user")
        (owner,) = cursor.fetchone()
        names: dict[str, str | None] = {"web": None, "worker": None}
        for role in names:
            parts = urlsplit(database_url(role))
            name = unquote(parts.username or "")
            if name == owner:
                self.stderr.write(f"The {role} connects as the owner: row security does not apply to it.")
                continue
            _ensure_role(cursor, name, unquote(parts.password or ""), role=role)
            _grant(cursor, name, role=role)
            names[role] = name
        row_security.protect(cursor, web=names["web"], worker=names["worker"])


def _ensure_role(cursor: CursorWrapper, name: str, password: str, *, role: str) -> None:
    if not name:
        raise CommandError(
            f"DATABASE_{role.upper()}_URL has no user name: write postgresql://user:password@host/database."
        )
    if not database_roles.exists(cursor, name):
        _create_login(cursor, name, password)
    if database_roles.sees_past_row_security(cursor, name):
        raise CommandError(f"The role {name} is a superuser or has BYPASSRLS: give the {role} an ordinary role.")


def _create_login(cursor: CursorWrapper, name: str, password: str) -> None:
    try:
        with transaction.atomic():
            database_roles.create_login(cursor, name, password)
    except (ProgrammingError, IntegrityError) as error:
        if isinstance(error.__cause__, psycopg.errors.DuplicateObject | psycopg.errors.UniqueViolation):
            return  # created this moment for another database of the server, which our lock does not cover
        if not isinstance(error.__cause__, psycopg.errors.InsufficientPrivilege):
            raise
        raise CommandError(
            f"The role {name} does not exist and the owner may not create it: "
            f"run CREATE ROLE {name} LOGIN with its password as a superuser, or give the owner CREATEROLE."
        ) from None  # the original error contains the statement, and with it the password


def _grant(cursor: CursorWrapper, name: str, *, role: str) -> None:
    database_roles.grant_schema(cursor, name)
    database_roles.restrict_table(cursor, name, MIGRATIONS, ("SELECT",))
    for label, rights in APPEND_ONLY.items():
        table = apps.get_model(label)._meta.db_table
        database_roles.restrict_table(cursor, name, table, rights[role])
    for partition in months.partitions():  # row security is on the parent table only
        database_roles.restrict_table(cursor, name, partition, ())
    if database_roles.may_create_tables(cursor, name):
        raise CommandError(
            f"The role {name} may create tables: run REVOKE CREATE ON SCHEMA public FROM PUBLIC in this database "
            "as a superuser (PostgreSQL before 15 grants it to everybody)."
        )
