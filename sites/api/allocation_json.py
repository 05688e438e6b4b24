"""The JSON of an allocation: its limits, and for each what is used and what is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers

from sites import limits
from sites.models import Allocation

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_HOUR = 3600
_COUNTS = ("pods", "cpus", "memory")
_BUDGET = ("cpu_seconds", "gpu_seconds")
EXAMPLE = {
    "id": 12,
    "tenant": "climate",
    "site": "vega",
    "enabled": True,
    "reason": "",
    "message": "",
    "valid_from": "2026-01-01T00:00:00Z",
    "valid_until": "2026-12-31T23:59:59Z",
    "period": {"kind": "month", "begins": "2026-11-01T00:00:00Z", "ends": "2026-12-01T00:00:00Z"},
    "limits": {
        "pods": 100, "cpus": 512, "memory": None, "gpus": {"a100": 8}, "cpu_hours": 100000, "gpu_hours": 500,
    },
    "used": {"pods": 12, "cpus": 384, "memory": 1649267441664, "gpus": {"a100": 6}, "cpu_hours": 42, "gpu_hours": 450},
    "spent": {"cpu_hours": 40, "gpu_hours": 350},
    "reserved": {"cpu_hours": 2, "gpu_hours": 100},
    "left": {"pods": 88, "cpus": 128, "memory": None, "gpus": {"a100": 2}, "cpu_hours": 99958, "gpu_hours": 50},
    "near": {"limit": "gpu_hours", "share": 0.9},
    "default_time_limit": 3600,
    "priority": 0,
    "local_account": "climate01",
    "partitions": ["gpu"],
    "qos": "",
    "flavors": [],
    "created_at": "2025-12-20T10:00:00Z",
}  # fmt: skip


class FiguresOut(serializers.Serializer[Any]):
    """Figures of an allocation; null means no limit."""

    pods = serializers.IntegerField(allow_null=True)
    cpus = serializers.IntegerField(allow_null=True)
    memory = serializers.IntegerField(allow_null=True, help_text="bytes")
    gpus = serializers.DictField(
        child=serializers.IntegerField(), help_text='kind -> number; "" counts GPUs of all kinds together'
    )
    cpu_hours = serializers.FloatField(allow_null=True, help_text="in one period")
    gpu_hours = serializers.FloatField(allow_null=True, help_text="in one period")


class HoursOut(serializers.Serializer[Any]):
    """A part of the budget."""

    cpu_hours = serializers.FloatField()
    gpu_hours = serializers.FloatField()


class PeriodOut(serializers.Serializer[Any]):
    """The budget's current period."""

    kind = serializers.ChoiceField(choices=Allocation.Period.values)
    begins = serializers.DateTimeField()
    ends = serializers.DateTimeField(allow_null=True, help_text="when the budget renews; null: never")


class NearOut(serializers.Serializer[Any]):
    """The limit that is closest to being used up."""

    limit = serializers.CharField(help_text="pods, cpus, memory, gpus, gpus.<kind>, cpu_hours or gpu_hours")
    share = serializers.FloatField(help_text="used / allowed; above 1 if the limit was lowered")


class AllocationOut(serializers.Serializer[Any]):
    """What a tenant may use at a site, and what it uses."""

    id = serializers.IntegerField()
    tenant = serializers.CharField(allow_null=True)
    site = serializers.CharField()
    enabled = serializers.BooleanField(help_text="false: revoked")
    reason = serializers.CharField(help_text="why no job starts under it now, as one word; empty: jobs may start")
    message = serializers.CharField(help_text="the reason as a sentence")
    valid_from = serializers.DateTimeField()
    valid_until = serializers.DateTimeField(allow_null=True)
    period = PeriodOut()
    limits = FiguresOut()
    used = FiguresOut(help_text="hours: spent and reserved together")
    spent = HoursOut(help_text="in this period")
    reserved = HoursOut(help_text="by jobs that are queued or running")
    left = FiguresOut(help_text="never below 0")
    near = NearOut(allow_null=True)
    default_time_limit = serializers.IntegerField(help_text="seconds, for pods without a deadline")
    priority = serializers.IntegerField()
    local_account = serializers.CharField()
    partitions = serializers.ListField(child=serializers.CharField())
    qos = serializers.CharField()
    flavors = serializers.ListField(child=serializers.CharField())
    created_at = serializers.DateTimeField()

    def to_representation(self, allocation: Any) -> dict[str, Any]:
        """Render a row of `queries.allocations`. context: `now`, the time for which the figures hold."""
        now: datetime = self.context["now"]
        allowed, used = limits.allowed(allocation), limits.used(allocation, now=now)
        begins, ends = limits.period(allocation, now=now)
        tenant_name = allocation.tenant_name or "The tenant"
        not_valid = limits.not_valid(allocation, tenant=tenant_name, site=allocation.site.name, now=now)
        left = {name: max(0, number - used.get(name, 0)) for name, number in allowed.items()}
        reserved = {name: getattr(allocation, f"reserved_{name}") for name in _BUDGET}
        spent = {name: used[name] - reserved[name] for name in _BUDGET}
        return {
            "id": allocation.pk,
            "tenant": allocation.tenant_slug,
            "site": allocation.site.slug,
            "reason": not_valid.reason if not_valid else "",
            "message": not_valid.message if not_valid else "",
            "period": {"kind": allocation.period, "begins": begins, "ends": ends},
            "limits": _figures(allowed),
            "used": _figures(used),
            "spent": _hours(spent),
            "reserved": _hours(reserved),
            "left": _figures(left),
            "near": _near(allowed, used),
            **{name: getattr(allocation, name) for name in _PLAIN},
        }


_PLAIN = (
    "enabled", "valid_from", "valid_until", "default_time_limit", "priority", "local_account", "partitions", "qos",
    "flavors", "created_at",
)  # fmt: skip


def _figures(figures: Mapping[str, int]) -> dict[str, Any]:
    counts: dict[str, Any] = {name: figures.get(name) for name in _COUNTS}
    parts = {name: name.partition(" ") for name in figures}
    counts["gpus"] = {kind: figures[name] for name, (what, _, kind) in parts.items() if what == "gpus"}
    return {**counts, **{_named(name): _rounded(figures.get(name)) for name in _BUDGET}}


def _hours(figures: Mapping[str, int]) -> dict[str, Any]:
    return {_named(name): _rounded(figures[name]) for name in _BUDGET}


def _near(allowed: Mapping[str, int], used: Mapping[str, int]) -> dict[str, Any] | None:
    shares = {name: used.get(name, 0) / number for name, number in allowed.items() if number}
    if not shares:
        return None
    name = max(shares, key=lambda each: shares[each])
    return {"limit": _named(name), "share": round(shares[name], 4)}


def _named(name: str) -> str:
    """Return the name that the API uses: `cpu_hours` for `cpu_seconds`, `gpus.a100` for `gpus a100`."""
    return name.replace("_seconds", "_hours").replace(" ", ".")


def _rounded(seconds: int | None) -> float | None:
    return None if seconds is None else round(seconds / _HOUR, 4)
