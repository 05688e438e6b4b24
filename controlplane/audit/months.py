"""The monthly partitions of the audit trail: creates them in advance and drops them whole. For the database's owner."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, LiteralString

from django.db import connection
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How many months after the current one get partitions at each deployment. Later events go to the default partition.
AHEAD = 24
_PREFIX = "audit_event_y"


def create_partitions(*, now: datetime) -> list[str]:
    """Creates the missing partitions of this month and the AHEAD next ones; returns their names.

    A month with events in the default partition gets no partition of its own.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT date_trunc('month', at AT TIME ZONE 'UTC') FROM audit_event_unsorted")
        in_default = {_name(month) for (month,) in cursor.fetchall()}
    existing = set(_monthly()) | in_default
    created = []
    end = datetime(now.year, now.month, 1, tzinfo=UTC)
    for _ in range(AHEAD + 1):
        begin, end = end, _next(end)
        name = _name(begin)
        if name in existing:
            continue
        _execute(
            "CREATE TABLE {name} PARTITION OF audit_event FOR VALUES FROM ({begin}) TO ({end})",
            name=sql.Identifier(name),
            begin=sql.Literal(begin.isoformat()),
            end=sql.Literal(end.isoformat()),
        )
        created.append(name)
    return created


def drop_before(moment: datetime) -> list[str]:
    """Drops the partitions of months that ended at or before `moment`; returns their names."""
    over = []
    for name in sorted(_monthly()):
        year, month = name.removeprefix(_PREFIX).split("m")
        if _next(datetime(int(year), int(month), 1, tzinfo=UTC)) <= moment:
            over.append(name)
            _execute("DROP TABLE {name}", name=sql.Identifier(name))
    return over


def partitions() -> list[str]:
    """Returns the names of all partitions, the default one included. Only the owner may access them directly."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_event'::regclass")
        return [name for (name,) in cursor.fetchall()]


def _monthly() -> Iterator[str]:
    return (name for name in partitions() if name.startswith(_PREFIX))


def _next(month: datetime) -> datetime:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def _name(begin: datetime) -> str:
    return f"{_PREFIX}{begin:%Y}m{begin:%m}"


def _execute(statement: LiteralString, **names: sql.Composable) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(**names))
