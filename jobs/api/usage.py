"""/usage: adds up what was used, as JSON or as a table for a spreadsheet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from controlplane.answers import Csv, FirstOrAsked
from controlplane.api.bodies import Input, asked
from controlplane.api.pages import all_shown, shown
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.roles import Action
from jobs import queries
from jobs.accounting import totals
from jobs.accounting.totals import GroupBy

if TYPE_CHECKING:
    from rest_framework.request import Request

    from jobs.accounting.totals import Group

_FIGURES = ("jobs", "cpu_hours", "gpu_hours", "wall_hours", "estimated_share")
_EXAMPLE = {
    "group_by": ["tenant", "month"],
    "groups": [
        {
            "tenant": "climate",
            "month": "2026-11",
            "jobs": 412,
            "cpu_hours": 10231.5,
            "gpu_hours": 88.25,
            "wall_hours": 402.1,
            "estimated_share": 0.0,
        }
    ],
    "total": {
        "jobs": 412,
        "cpu_hours": 10231.5,
        "gpu_hours": 88.25,
        "wall_hours": 402.1,
        "estimated_share": 0.0,
    },
}


class UsageQuery(Input):
    """Which usage to add up, and by what to group it."""

    group_by = serializers.CharField(
        max_length=40,
        default="tenant,site",
        help_text="some of tenant, site, person, month, with commas; jobs of virtual nodes have no person",
    )
    until = serializers.DateTimeField(required=False, help_text="attempts that ended before this time")
    tenant = serializers.SlugField(required=False)
    site = serializers.SlugField(required=False)
    format = serializers.ChoiceField(
        choices=["json", "csv"], required=False, help_text="csv: a table; `Accept: text/csv` asks for the same"
    )

    def get_fields(self) -> Any:
        begin = serializers.DateTimeField(required=False, help_text="attempts that ended at this time or later")
        return {**super().get_fields(), "from": begin}  # a keyword of Python, so it cannot be a class attribute

    def validate_group_by(self, value: str) -> list[GroupBy]:
        names = value.split(",")
        if unknown := [name for name in names if name not in list(GroupBy)]:
            known = ", ".join(GroupBy)
            raise serializers.ValidationError(f"There is no {', '.join(unknown)} to group by; there are {known}.")
        return [GroupBy(name) for name in dict.fromkeys(names)]


class UsageFiguresOut(serializers.Serializer[Any]):
    """Sums."""

    jobs = serializers.IntegerField(help_text="attempts that have ended at a site")
    cpu_hours = serializers.FloatField(help_text="cores that were allocated, times hours")
    gpu_hours = serializers.FloatField()
    wall_hours = serializers.FloatField(help_text="hours from start to end, whatever was allocated")
    estimated_share = serializers.FloatField(
        help_text="the part of the CPU-hours, 0 to 1, for which the site gave no times and ours are used"
    )

    def to_representation(self, group: Group) -> dict[str, Any]:
        """Shows the sums, with what the group has in common; a total has nothing of that."""
        share = group.estimated / group.cpu_hours if group.cpu_hours else 0.0
        hours = {name: round(getattr(group, name), 4) for name in ("cpu_hours", "gpu_hours", "wall_hours")}
        return {**group.of, "jobs": group.jobs, **hours, "estimated_share": round(share, 4)}


class GroupOut(UsageFiguresOut):
    """The sums of one group, with the fields that it is grouped by."""

    tenant = serializers.CharField(required=False, allow_null=True)
    site = serializers.CharField(required=False)
    person = serializers.CharField(required=False, allow_null=True)
    person_id = serializers.IntegerField(required=False, allow_null=True, help_text="two people may have one name")
    month = serializers.CharField(required=False, help_text="such as 2026-11, by the end of the attempt, in UTC")


class UsageOut(serializers.Serializer[Any]):
    """The groups in order, and their total."""

    group_by = serializers.ListField(child=serializers.ChoiceField(choices=list(GroupBy)))
    groups = GroupOut(many=True)
    total = UsageFiguresOut()


class Usage(ApiView):
    """Adds up usage."""

    actions = {"GET": Action.USAGE_READ}
    renderer_classes = [JSONRenderer, Csv]
    content_negotiation_class = FirstOrAsked

    @operation(
        "getUsage",
        "Add up what was used, by tenant, site, person or month",
        answers={(200, "application/json"): UsageOut, (200, "text/csv"): OpenApiTypes.STR},
        query=UsageQuery,
        examples=[
            OpenApiExample("by month", _EXAMPLE, response_only=True, media_type="application/json"),
        ],
    )
    def get(self, request: Request) -> Response:
        """Uses the sites' own figures, which are stored when an attempt ends. Answers at most 10,000 groups."""
        query = asked(request, UsageQuery)
        by = query["group_by"]
        groups = totals.grouped(queries.usage_records(self.reach, query), by)
        if isinstance(request.accepted_renderer, Csv):
            columns = [*(each.value for each in by), *_FIGURES]
            rows = [[line[column] for column in columns] for line in all_shown(GroupOut, groups)]
            return Response({"columns": columns, "rows": rows}, headers=_DOWNLOAD)
        return Response(shown(UsageOut, {"group_by": by, "groups": groups, "total": totals.total(groups)}))


_DOWNLOAD = {"Content-Disposition": 'attachment; filename="usage.csv"'}
