"""Queries on the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Q

from controlplane.audit.models import Event

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from controlplane.reach import Reach, Reached


def events(reach: Reach, wanted: Mapping[str, Any], *, tenant_ids: Iterable[int] | None = None) -> Reached[Event]:
    """Returns the events within reach; with `tenant_ids`, only those of these tenants.

    wanted: the filters {name: value}, all of which must match. actor (a name, or kind:id), verb (or its first part),
    object (a kind, or kind:id), site (a slug), outcome; from (inclusive) and until (exclusive): datetimes.
    """
    rows = Event.objects.within(reach).matching(wanted, _LOOKUPS)
    if "actor" in wanted:
        rows = rows.filter(_by_actor(wanted["actor"]))
    if "verb" in wanted:
        rows = rows.filter(Q(verb=wanted["verb"]) | Q(verb__startswith=f"{wanted['verb']}."))
    if "object" in wanted:
        kind, _, number = wanted["object"].partition(":")
        rows = rows.filter(object_kind=kind, **({"object_id": number} if number else {}))
    return rows if tenant_ids is None else rows.filter(tenant_id__in=tenant_ids)


def _by_actor(text: str) -> Q:
    kind, _, number = text.partition(":")
    by_name = Q(actor=text)
    if number.isascii() and number.isdigit() and len(number) < 19:
        return by_name | Q(actor_kind=kind, actor_id=int(number))
    return by_name


_LOOKUPS = {"site": "site", "outcome": "outcome", "from": "at__gte", "until": "at__lt"}
