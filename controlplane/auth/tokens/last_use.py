"""When a person's or a program's token was last used, to the minute. For nodes: jobs/interlink/last_heard.py."""

from __future__ import annotations

from django.db import connection

from controlplane.remembered import Remembered
from controlplane.tenants.scope import seeing_everything

#: Tokens whose use this process has noted within the last minute, so that a busy one costs one statement a minute.
_noted: Remembered[int, None] = Remembered(at_most=20_000)
# A row that is being rotated or revoked is left out: the next use is near.
_NOTE = """
    UPDATE tenants_apitoken AS token SET last_used_at = now()
    FROM (SELECT id FROM tenants_apitoken
          WHERE id = %s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
          FOR NO KEY UPDATE SKIP LOCKED) AS due
    WHERE token.id = due.id
"""


def note(token_id: int) -> None:
    """It is used now."""
    if token_id in _noted:
        return
    with seeing_everything(), connection.cursor() as cursor:
        cursor.execute(_NOTE, [token_id])
    _noted.put(token_id, None, seconds=60)
