"""What is read of the trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Q

from controlplane.audit.models import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from controlplane.reach import Reach, Reached


def events(reach: Reach, wanted: Mapping[str, Any], *, tenant_ids: Iterable[int] | None = None) -> Reached[Event]:
    """Those within reach; with `tenant_ids` only of these tenants.

    wanted: actor (a name, or kind:id), verb (or its first part), object (a kind, or kind:id), site, outcome; from and
    until: moments, the latter left out.
    """
    rows = Event.objects.within(reach).matching(wanted, _LOOKUPS)
    rows = rows.filter(*(condition(wanted[name]) for name, condition in _CONDITIONS.items() if name in wanted))
    return rows if tenant_ids is None else rows.filter(tenant_id__in=tenant_ids)


def _object(text: str) -> Q:
    kind, _, number = text.partition(":")
    return Q(object_kind=kind, object_id=number) if number else Q(object_kind=kind)


def _actor(text: str) -> Q:
    kind, _, number = text.partition(":")
    by_name = Q(actor=text)
    if number.isascii() and number.isdigit() and len(number) < 19:
        return by_name | Q(actor_kind=kind, actor_id=int(number))
    return by_name


_LOOKUPS = {"site": "site", "outcome": "outcome", "from": "at__gte", "until": "at__lt"}
_CONDITIONS: dict[str, Callable[[Any], Q]] = {
    "actor": _actor,
    "verb": lambda text: Q(verb=text) | Q(verb__startswith=f"{text}."),
    "object": _object,
}
