"""Records when a token was last used, to the minute. jobs/interlink/last_heard.py does so for nodes' tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection

from controlplane.remembered import Remembered
from controlplane.tenants.scope import seeing_everything

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Tokens whose use this process has recorded within the last minute: a busy token costs one statement a minute.
_noted: Remembered[int, None] = Remembered(at_most=20_000)
# Rows are locked in the order of their ids, as everywhere, to avoid deadlocks. SKIP LOCKED leaves out tokens that are
# being rotated or revoked; their next use will be recorded.
_NOTE = """
    UPDATE tenants_apitoken AS token SET last_used_at = now()
    FROM (SELECT id FROM tenants_apitoken
          WHERE id = ANY(%s) AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
          ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) AS due
    WHERE token.id = due.id
"""


def note(token_id: int) -> None:
    """Records that a token is used now, at most once a minute."""
    if token_id in _noted:
        return
    write([token_id])
    _noted.put(token_id, None, seconds=60)


def write(token_ids: Iterable[int]) -> None:
    """Records that these tokens are used now, in its own transaction, which sees the tokens of all tenants."""
    with seeing_everything(), connection.cursor() as cursor:
        cursor.execute(_NOTE, [sorted(token_ids)])
