"""Wrong secrets counted by client, in Redis for all processes. Redis away, none are."""

from __future__ import annotations

import hashlib
import logging

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

_WITHIN = 60  # seconds


def another(client_id: str) -> int:
    """Count one more; the seconds to wait where there were more than TOKEN_FAILURES in a minute, else 0.

    It decides nothing about right secrets: those are never kept waiting, or anybody could lock a node out.
    """
    # Hashed: the name is whatever a stranger sends.
    name = "token-failures:" + hashlib.sha256(client_id.encode(errors="surrogatepass")).hexdigest()[:32]
    try:
        cache.add(name, 0, _WITHIN)
        count = cache.incr(name)
    except (RedisError, ValueError):  # ValueError: it ended between the two
        return 0
    if count <= settings.TOKEN_FAILURES:
        return 0
    if count == settings.TOKEN_FAILURES + 1:
        logger.warning("too many wrong secrets", extra={"client": client_id[:63]})
    return _WITHIN
