"""The look-up of one of our tokens through Django's connection. /status has its own (jobs/interlink/status.py)."""

from __future__ import annotations

from django.db import connection

from controlplane.auth.callers import BY_DIGEST, FoundToken


def find(digest: bytes) -> FoundToken | None:
    """What is on record of the token with this SHA-256, None where there is none."""
    with connection.cursor() as cursor:
        cursor.execute(BY_DIGEST, [digest])
        row = cursor.fetchone()
    return None if row is None else FoundToken(*row)
