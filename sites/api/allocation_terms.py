"""The shape of an allocation's terms as callers send them; `sites/terms.py` checks their values."""

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
        "description": 'kind -> number; "" counts GPUs of all kinds together',
        "additionalProperties": {"type": "integer", "minimum": 0, "maximum": _LARGEST},
    }
)
class Gpus(serializers.DictField):
    """{kind: number}."""

    child = serializers.IntegerField(min_value=0, max_value=_LARGEST)


def _limit(help_text: str, most: int = _LARGEST) -> serializers.IntegerField:
    return serializers.IntegerField(
        min_value=0, max_value=most, required=False, allow_null=True, help_text=f"{help_text}; null means no limit"
    )


class TermsIn(Input):
    """Terms of an allocation. A missing term does not change; in a new allocation, a missing limit means unlimited."""

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
    """Turn the checked values of TermsIn into JSON values, with times in ISO 8601, to store in a request."""
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in terms.items()}
