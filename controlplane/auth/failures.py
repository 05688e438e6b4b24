"""Failed attempts counted by who makes them, in Redis for all processes. Redis away, none are."""

from __future__ import annotations

import hashlib
import logging

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

_WITHIN = 60  # seconds


def another(what: str, who: str) -> int:
    """Count one more; the seconds to wait where there were more than AUTH_FAILURES in a minute, else 0.

    what: the kind of attempt; who: a client, an address. It decides nothing about right secrets: those are never kept
    waiting, or anybody could lock anybody out.
    """
    # Hashed: the name is whatever a stranger sends.
    name = f"failures:{what}:" + hashlib.sha256(who.encode(errors="surrogatepass")).hexdigest()[:32]
    try:
        cache.add(name, 0, _WITHIN)
        count = cache.incr(name)
    except (RedisError, ValueError):  # ValueError: it ended between the two
        return 0
    if count <= settings.AUTH_FAILURES:
        return 0
    if count == settings.AUTH_FAILURES + 1:
        logger.warning("too many failures", extra={"what": what, "who": who[:63]})
    return _WITHIN
