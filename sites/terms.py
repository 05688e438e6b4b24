"""Checks the terms of an allocation: takes the JSON values that people send, returns values for the columns."""

from __future__ import annotations

import re
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.utils.dateparse import parse_datetime

from controlplane.errors import Invalid
from sites.models import Allocation, Flavor

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sites.models import Site

#: This many hours, in seconds, fit the counters with room for sums.
_MOST_HOURS = 2**40
_NAME = re.compile(r"[A-Za-z0-9_][\w.-]{0,63}", re.ASCII)
_ACCOUNT = re.compile(r"[A-Za-z_][\w.-]{0,63}", re.ASCII)


class _Wrong(Exception):
    """A value cannot be used; the text is one sentence that says why."""


def column_values(terms: Mapping[str, Any], site: Site) -> dict[str, Any]:
    """Return the columns that these terms set. Raises Invalid, with a sentence for each wrong field."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for name, value in terms.items():
        reader = READERS.get(name)
        try:
            if reader is None:
                raise _Wrong(f"There is no term {str(name)[:60]}.")
            values[name] = reader(value)
        except _Wrong as wrong:
            errors[str(name)[:60]] = str(wrong)
    flavors = values.get("flavors") or []
    unknown = set(flavors) - set(Flavor.objects.filter(site=site, name__in=flavors).values_list("name", flat=True))
    if unknown:
        errors["flavors"] = f"{site.name} has no flavor {', '.join(sorted(unknown))}."
    if errors:
        raise Invalid(errors)
    return values


def require_order(allocation: Allocation) -> None:
    """Raises Invalid if the allocation would end before it begins."""
    if allocation.valid_until is not None and allocation.valid_until <= allocation.valid_from:
        raise Invalid({"valid_until": "The allocation must end after it begins."})


def _number(least: int, most: int, *, needed: bool = False) -> Callable[[Any], int | None]:
    def read_number(value: Any) -> int | None:
        if value is None and not needed:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise _Wrong(
                f"It must be a whole number from {least} to {most}{'' if needed else ', or null for no limit'}."
            )
        return value

    return read_number


def _gpus(value: Any) -> dict[str, int]:
    if not isinstance(value, dict):
        raise _Wrong('It must map kinds of GPUs to numbers; "" means GPUs of any kind.')
    for kind, number in value.items():
        if kind and not _NAME.fullmatch(str(kind)):
            raise _Wrong(f"{str(kind)[:60]} is not a kind of GPU: write it as the site's scheduler does.")
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number < 2**31:
            raise _Wrong("The number of each kind must be a whole number of at least 0.")
    return {str(kind).lower(): number for kind, number in value.items()}


def _moment(value: Any) -> datetime:
    try:
        moment = value if isinstance(value, datetime) else parse_datetime(value if isinstance(value, str) else "")
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise _Wrong("It must be a time with its zone, like 2026-12-31T23:59:00Z.")
    return moment


def _period(value: Any) -> str:
    if value not in Allocation.Period.values:
        raise _Wrong(f"It must be one of {', '.join(Allocation.Period.values)}.")
    return str(value)


def _enabled(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("It must be true or false.")
    return value


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[Any], str]:
    def read_text(value: Any) -> str:
        if not isinstance(value, str) or (value and not pattern.fullmatch(value)):
            raise _Wrong(f"It must be {what}: letters, digits, dots, dashes and underscores, at most 64.")
        return value

    return read_text


def _names(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(each, str) and _NAME.fullmatch(each) for each in value):
        raise _Wrong("It must be a list of names.")
    return list(dict.fromkeys(value))


#: Column -> the function that checks and converts its value. These are all terms.
READERS: dict[str, Callable[[Any], Any]] = {
    "enabled": _enabled,
    "valid_from": _moment,
    "valid_until": lambda value: None if value is None else _moment(value),
    "pods": _number(0, 2**31 - 1),
    "cpus": _number(0, 2**31 - 1),
    "memory": _number(0, 2**62),
    "gpus": _gpus,
    "cpu_hours": _number(0, _MOST_HOURS),
    "gpu_hours": _number(0, _MOST_HOURS),
    "period": _period,
    "default_time_limit": _number(1, 2**31 - 1, needed=True),
    "priority": _number(-1000, 1000, needed=True),
    "local_account": _matching(_ACCOUNT, "the name of an account, or empty for the site's own"),
    "partitions": _names,
    "qos": _matching(_NAME, "the name of a quality of service, or empty"),
    "flavors": _names,
}
