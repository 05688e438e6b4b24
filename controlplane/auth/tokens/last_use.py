"""When a token was last used, to the minute. Of nodes' tokens jobs/interlink/last_heard.py knows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection

from controlplane.remembered import Remembered
from controlplane.tenants.scope import seeing_everything

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Tokens whose use this process has noted within the last minute, so that a busy one costs one statement a minute.
_noted: Remembered[int, None] = Remembered(at_most=20_000)
# Rows are locked in the order of their ids, as everywhere; one that is being rotated or revoked is left out, since its
# next use is near.
_NOTE = """
    UPDATE tenants_apitoken AS token SET last_used_at = now()
    FROM (SELECT id FROM tenants_apitoken
          WHERE id = ANY(%s) AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
          ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) AS due
    WHERE token.id = due.id
"""


def note(token_id: int) -> None:
    """It is used now."""
    if token_id in _noted:
        return
    write([token_id])
    _noted.put(token_id, None, seconds=60)


def write(token_ids: Iterable[int]) -> None:
    """Write down that these tokens are in use now, in a transaction of its own that sees the tokens of all tenants."""
    with seeing_everything(), connection.cursor() as cursor:
        cursor.execute(_NOTE, [sorted(token_ids)])
