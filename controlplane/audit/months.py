"""The trail's partitions, one a month: made ahead of time, and dropped whole when their time is over. Owner only."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, LiteralString

from django.db import connection
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Months beyond the present one that are made at each deployment. What comes later still finds the default partition.
AHEAD = 24
_PREFIX = "audit_event_y"


def prepare(*, now: datetime) -> list[str]:
    """Make the partitions of this month and of the AHEAD next that are not there yet; their names.

    A month some of whose events are in the default partition already stays there.
    """
    there, taken = set(_by_months()), set(_months_in_default())
    made = []
    for begin, end in _months(now):
        name = _name(begin)
        if name in there or name in taken:
            continue
        _execute(
            "CREATE TABLE {name} PARTITION OF audit_event FOR VALUES FROM ({begin}) TO ({end})",
            name=sql.Identifier(name),
            begin=sql.Literal(begin.isoformat()),
            end=sql.Literal(end.isoformat()),
        )
        made.append(name)
    return made


def drop_before(moment: datetime) -> list[str]:
    """Drop the months that were over at `moment`; their names."""
    over = [name for name in sorted(_by_months()) if _end(name) <= moment]
    for name in over:
        _execute("DROP TABLE {name}", name=sql.Identifier(name))
    return over


def partitions() -> list[str]:
    """The tables behind the trail, the default one among them. Only the owner may touch them directly."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'audit_event'::regclass")
        return [name for (name,) in cursor.fetchall()]


def _by_months() -> Iterator[str]:
    return (name for name in partitions() if name.startswith(_PREFIX))


def _months_in_default() -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT date_trunc('month', at AT TIME ZONE 'UTC') FROM audit_event_unsorted")
        months = [month for (month,) in cursor.fetchall()]
    return (_name(month) for month in months)


def _months(now: datetime) -> Iterator[tuple[datetime, datetime]]:
    begin = datetime(now.year, now.month, 1, tzinfo=UTC)
    for _ in range(AHEAD + 1):
        end = _next(begin)
        yield begin, end
        begin = end


def _next(month: datetime) -> datetime:
    return month.replace(year=month.year + month.month // 12, month=month.month % 12 + 1)


def _name(begin: datetime) -> str:
    return f"{_PREFIX}{begin:%Y}m{begin:%m}"


def _end(name: str) -> datetime:
    year, month = name.removeprefix(_PREFIX).split("m")
    return _next(datetime(int(year), int(month), 1, tzinfo=UTC))


def _execute(statement: LiteralString, **names: sql.Composable) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL(statement).format(**names))
