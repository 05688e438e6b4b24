"""Writes the audit trail."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.forms.models import model_to_dict
from django.utils import timezone
from psycopg.types.json import Jsonb

from controlplane import database
from controlplane.audit import actors
from controlplane.audit.models import Event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.models import Model

#: Columns of any model whose values must never be written to the trail.
SECRET = frozenset({"credential", "digest", "password", "request", "secret", "token"})
_INSERT = """
    INSERT INTO audit_event (at, actor_kind, actor_id, actor, token_id, address, verb, object_kind, object_id,
                             tenant_id, site, outcome, request_id, changes)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
"""


def record(
    verb: str,
    object_kind: str,
    object_id: object = "",
    *,
    tenant_id: int | None = None,
    site: str = "",
    changes: Mapping[str, Any] | None = None,
    outcome: str = Event.Outcome.DONE,
) -> None:
    """Adds one event in the caller's transaction, so that the act and its event are committed together.

    verb: `<object>.<act>`, as in `allocation.grant`. site: a slug. changes: JSON values; names in SECRET are left out.
    """
    actor = actors.current()
    values: tuple[Any, ...] = (
        timezone.now(),
        actor.kind,
        actor.id,
        actor.name[:255],
        actor.token_id,
        actor.address,
        verb,
        object_kind,
        str(object_id)[:100],
        tenant_id,
        site,
        outcome,
        actor.request_id,
        Jsonb({name: value for name, value in (changes or {}).items() if name not in SECRET}),
    )
    # Hand-written SQL: the ORM would read the new row back, and row security hides it from most callers.
    database.execute(_INSERT, values)


def snapshot(row: Model) -> dict[str, Any]:
    """Returns {column: JSON value} of a row's editable columns, without secrets, to compare it after a change."""
    return {name: _plain(value) for name, value in model_to_dict(row).items() if name not in SECRET}


def difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Returns {field: [before, after]} for the fields in which two snapshots differ."""
    names = {**before, **after}
    return {name: [before.get(name), after.get(name)] for name in names if before.get(name) != after.get(name)}


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (bool, int, float, str, dict)):
        return value
    return str(value)
