"""When a person's or a program's token was last used, to the minute. For nodes: jobs/interlink/last_heard.py."""

from __future__ import annotations

import time

from django.db import connection

from controlplane.tenants.scope import seeing_everything

_EVERY = 60.0
_REMEMBERED_AT_MOST = 20_000
# A row that is being rotated or revoked is left out: the next use is near.
_NOTE = """
    UPDATE tenants_apitoken AS token SET last_used_at = now()
    FROM (SELECT id FROM tenants_apitoken
          WHERE id = %s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
          FOR NO KEY UPDATE SKIP LOCKED) AS due
    WHERE token.id = due.id
"""


class LastUse:
    """The memory of one process, so that a busy token costs one statement a minute."""

    def __init__(self) -> None:
        self._noted: dict[int, float] = {}

    def note(self, token_id: int) -> None:
        """It is used now."""
        if time.monotonic() < self._noted.get(token_id, 0.0):
            return
        with seeing_everything(), connection.cursor() as cursor:
            cursor.execute(_NOTE, [token_id])
        if len(self._noted) >= _REMEMBERED_AT_MOST:
            self._noted.clear()
        self._noted[token_id] = time.monotonic() + _EVERY

    def forget(self) -> None:
        self._noted.clear()


#: The one of this process.
last_use = LastUse()
