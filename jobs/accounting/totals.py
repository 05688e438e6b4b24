"""Adds up usage records, in one statement for any number of records."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from django.db.models import Count, DurationField, F, OuterRef, Q, Subquery, Sum
from django.db.models.functions import TruncMonth

from controlplane.errors import Invalid
from controlplane.tenants.models import Tenant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.db.models import QuerySet

    from jobs.models import UsageRecord

_HOUR = 3600
#: The most groups in an answer: more than anybody reads. A narrower query gives all of its groups.
MOST_GROUPS = 10_000


class GroupBy(StrEnum):
    """What usage can be grouped by."""

    TENANT = "tenant"
    SITE = "site"
    PERSON = "person"
    MONTH = "month"


@dataclass(frozen=True)
class Group:
    """The sums of one group of usage records.

    of: what the group has in common: tenant, site (slugs), person (name), person_id, month ("2026-11"), as requested.
    jobs: number of finished attempts. The other figures are hours; `estimated` is the part of cpu_hours for which the
    site gave no times.
    """

    of: Mapping[str, Any]
    jobs: int
    cpu_hours: float
    gpu_hours: float
    wall_hours: float
    estimated: float


# The tenant's slug by a sub-select: a join would drop the records of tenants whose row this caller cannot see.
_COLUMNS: dict[GroupBy, dict[str, Any]] = {
    GroupBy.TENANT: {"group_tenant": Subquery(Tenant.objects.filter(pk=OuterRef("tenant_id")).values("slug")[:1])},
    GroupBy.SITE: {"group_site": F("site__slug")},
    GroupBy.PERSON: {"group_person_id": F("person_id"), "group_person": F("person__name")},
    GroupBy.MONTH: {"group_month": TruncMonth("ended_at")},
}


def grouped(records: QuerySet[UsageRecord], by: Sequence[GroupBy]) -> list[Group]:
    """One group for each combination that occurs, in order. Raises Invalid where there are more than MOST_GROUPS."""
    columns = {name: value for each in by for name, value in _COLUMNS[each].items()}
    names = list(columns)
    rows = list(
        records.annotate(**columns)
        .values(*names)
        .order_by(*names)
        .annotate(
            jobs=Count("pk"),
            cpu=Sum("cpu_seconds"),
            gpu=Sum("gpu_seconds"),
            wall=Sum(F("ended_at") - F("started_at"), output_field=DurationField()),
            guessed=Sum("cpu_seconds", filter=Q(estimated=True)),
        )[: MOST_GROUPS + 1]
    )
    if len(rows) > MOST_GROUPS:
        raise Invalid(
            {"group_by": f"There are more than {MOST_GROUPS} groups: group by less, or ask for a shorter time."}
        )
    return [_group(row, by) for row in rows]


def total(groups: Iterable[Group]) -> Group:
    """The sums of all groups."""
    lines = list(groups)
    return Group(
        of={},
        jobs=sum(line.jobs for line in lines),
        cpu_hours=sum(line.cpu_hours for line in lines),
        gpu_hours=sum(line.gpu_hours for line in lines),
        wall_hours=sum(line.wall_hours for line in lines),
        estimated=sum(line.estimated for line in lines),
    )


def _group(row: Mapping[str, Any], by: Sequence[GroupBy]) -> Group:
    of: dict[str, Any] = {each.value: row[f"group_{each}"] for each in by}
    if GroupBy.MONTH in by:
        of["month"] = f"{of['month']:%Y-%m}"
    if GroupBy.PERSON in by:
        of["person_id"] = row["group_person_id"]
    return Group(
        of=of,
        jobs=row["jobs"],
        cpu_hours=(row["cpu"] or 0) / _HOUR,
        gpu_hours=(row["gpu"] or 0) / _HOUR,
        wall_hours=row["wall"].total_seconds() / _HOUR if row["wall"] else 0.0,
        estimated=(row["guessed"] or 0) / _HOUR,
    )
