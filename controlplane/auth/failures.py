"""Counts failed attempts per client, in Redis for all processes. While Redis is down nothing is counted."""

from __future__ import annotations

import hashlib
import logging

from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)

_WITHIN = 60  # seconds


def another(what: str, who: str) -> int:
    """Counts one more failure. Returns the seconds to wait if there were more than AUTH_FAILURES in a minute, else 0.

    what: the kind of attempt. who: a client's name or an IP address. Call it only after a failure: a correct secret
    must never have to wait, or anybody could lock others out.
    """
    # Hashed, because the name may be any text that a stranger sends.
    name = f"failures:{what}:" + hashlib.sha256(who.encode(errors="surrogatepass")).hexdigest()[:32]
    try:
        cache.add(name, 0, _WITHIN)
        count = cache.incr(name)
    except (RedisError, ValueError):  # ValueError: the counter expired between the two calls
        return 0
    if count <= settings.AUTH_FAILURES:
        return 0
    if count == settings.AUTH_FAILURES + 1:
        logger.warning("too many failures", extra={"what": what, "who": who[:63]})
    return _WITHIN
