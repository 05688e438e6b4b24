"""Statements written by hand that run with every pod: PostgreSQL plans them once a connection instead of once a use.

Under row security a plan takes ten times as long as what it is for. They run in Django's connection and transaction and
raise its exceptions; values come as Django's own cursors give them, JSON as text. A statement has $1, $2, ... and must
be one of a few constants, since each is kept on the connection. Where a migration has changed what a statement reads,
each connection raises OperationalError once.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from django.db import connection
from psycopg import OperationalError, RawCursor
from psycopg.errors import FeatureNotSupported
from psycopg.types.numeric import Int8

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.models import Field, Model

Row = tuple[Any, ...]


def execute(statement: str, values: Sequence[object]) -> None:
    """Run a statement whose rows, if it has any, are of no interest."""
    with _executed(statement, values):
        pass


def first(statement: str, values: Sequence[object]) -> Row | None:
    """The first row of a statement that has rows, None where there is none."""
    with _executed(statement, values) as cursor:
        return cursor.fetchone()


def insert(row: Model) -> None:
    """What `row.save(force_insert=True)` does for a model without parents and signals, in a third of its time."""
    statement, fields = _insert(type(row))
    made = first(statement, [field.get_db_prep_save(field.pre_save(row, add=True), connection) for field in fields])
    row.pk = made[0] if made is not None else None
    row._state.adding, row._state.db = False, connection.alias  # noqa: SLF001  (as Model.from_db does)


def lend_connection() -> None:
    """Give this thread's database connection back to the pool before a long wait, unless a transaction is open."""
    if not connection.in_atomic_block:
        connection.close()


@contextmanager
def _executed(statement: str, values: Sequence[object]) -> Iterator[RawCursor[Row]]:
    connection.ensure_connection()
    # A plan is made for the types of its parameters, and psycopg would name the smallest that each integer fits.
    typed = [Int8(value) if type(value) is int else value for value in values]
    if connection.queries_logged:  # where statements are counted, as in tests, these are too
        connection.queries_log.append({"sql": statement, "time": ""})
    with connection.wrap_database_errors, RawCursor(connection.connection) as cursor:
        try:
            cursor.execute(statement, typed, prepare=True)
        except FeatureNotSupported as error:
            # A migration has changed a column's type since it was planned. What is on this connection is lost with it,
            # and whoever outlasts an absence of the database tries again on another.
            connection.connection.close()
            raise OperationalError("The statement was planned before a migration.") from error
        yield cursor


@cache
def _insert(model: type[Model]) -> tuple[str, list[Field[Any, Any]]]:
    """The statement for all columns but the key, which it returns, and their fields in the same order."""
    options = model._meta
    fields = [field for field in options.concrete_fields if not field.primary_key]
    names = ", ".join(f'"{field.column}"' for field in fields)
    places = ", ".join(f"${number}" for number in range(1, len(fields) + 1))
    statement = f'INSERT INTO "{options.db_table}" ({names}) VALUES ({places}) RETURNING "{options.pk.column}"'  # noqa: S608  (a model's own names)
    return statement, fields
