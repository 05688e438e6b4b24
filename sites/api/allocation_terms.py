"""The terms of an allocation as callers send them; `sites/terms.py` checks what they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from controlplane.api.bodies import Input
from sites.models import Allocation

if TYPE_CHECKING:
    from collections.abc import Mapping

_LARGEST = 2**31 - 1
_MOST_HOURS = 2**40


@extend_schema_field(
    {
        "type": "object",
        "description": 'kind -> number; under "" GPUs of all kinds together',
        "additionalProperties": {"type": "integer", "minimum": 0, "maximum": _LARGEST},
    }
)
class Gpus(serializers.DictField):
    """{kind: number}."""

    child = serializers.IntegerField(min_value=0, max_value=_LARGEST)


def _limit(help_text: str, most: int = _LARGEST) -> serializers.IntegerField:
    return serializers.IntegerField(
        min_value=0, max_value=most, required=False, allow_null=True, help_text=f"{help_text}; null is no limit"
    )


class TermsIn(Input):
    """What is not named stays as it is, or has no limit in a new allocation."""

    pods = _limit("at once")
    cpus = _limit("at once")
    memory = _limit("bytes, at once", most=2**62)
    gpus = Gpus(required=False)
    cpu_hours = _limit("in each period", most=_MOST_HOURS)
    gpu_hours = _limit("in each period", most=_MOST_HOURS)
    period = serializers.ChoiceField(choices=Allocation.Period.values, required=False)
    valid_from = serializers.DateTimeField(required=False)
    valid_until = serializers.DateTimeField(required=False, allow_null=True)
    default_time_limit = serializers.IntegerField(
        min_value=1, max_value=_LARGEST, required=False, help_text="seconds, for pods without a deadline"
    )
    priority = serializers.IntegerField(min_value=-1000, max_value=1000, required=False)
    local_account = serializers.CharField(max_length=64, required=False, allow_blank=True)
    partitions = serializers.ListField(child=serializers.CharField(max_length=64), max_length=50, required=False)
    qos = serializers.CharField(max_length=64, required=False, allow_blank=True)
    flavors = serializers.ListField(child=serializers.CharField(max_length=63), max_length=50, required=False)


def as_json(terms: Mapping[str, Any]) -> dict[str, Any]:
    """The checked values of TermsIn, as a request keeps them."""
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in terms.items()}
