"""When a token was last used, to the minute. Of nodes' tokens jobs/interlink/last_heard.py knows it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from django.db import connection

from controlplane.tenants.scope import seeing_everything

if TYPE_CHECKING:
    from collections.abc import Iterable

_EVERY = 60.0
_REMEMBERED_AT_MOST = 20_000
# Rows are locked in the order of their ids, as everywhere; one that is being rotated or revoked is left out, since its
# next use is near.
_NOTE = """
    UPDATE tenants_apitoken AS token SET last_used_at = now()
    FROM (SELECT id FROM tenants_apitoken
          WHERE id = ANY(%s) AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute')
          ORDER BY id FOR NO KEY UPDATE SKIP LOCKED) AS due
    WHERE token.id = due.id
"""


def write(token_ids: Iterable[int]) -> None:
    """Write down that these tokens are in use now, in a transaction of its own that sees the tokens of all tenants."""
    with seeing_everything(), connection.cursor() as cursor:
        cursor.execute(_NOTE, [sorted(token_ids)])


class LastUse:
    """The memory of one process, so that a busy token costs one statement a minute."""

    def __init__(self) -> None:
        self._noted: dict[int, float] = {}

    def note(self, token_id: int) -> None:
        """It is used now."""
        if time.monotonic() < self._noted.get(token_id, 0.0):
            return
        write([token_id])
        if len(self._noted) >= _REMEMBERED_AT_MOST:
            self._noted.clear()
        self._noted[token_id] = time.monotonic() + _EVERY

    def forget(self) -> None:
        self._noted.clear()


#: The one of this process.
last_use = LastUse()
