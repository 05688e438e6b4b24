"""How often one caller may call: API_RATE requests in each minute of the clock, over all web processes.

The headers are those of the IETF's draft "RateLimit header fields for HTTP". With Redis away nobody is counted: better
a caller too fast than all of them shut out.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, cast

import redis
from django.conf import settings

from controlplane import remembered
from controlplane.errors import TooMany

if TYPE_CHECKING:
    from controlplane.audit.actors import Actor

logger = logging.getLogger(__name__)

_WINDOW = 60
#: Seconds in which Redis is not asked again after it was away, so that its absence costs next to nothing.
_LEFT_ALONE = 5.0
_away_until = 0.0


@dataclass(frozen=True)
class Limit:
    """What one caller has used of a minute. used is None where it could not be counted."""

    most: int
    used: int | None
    seconds_left: int

    def check(self) -> None:
        """Raises TooMany beyond the limit."""
        if self.used is not None and self.used > self.most:
            raise TooMany(
                f"You have called more than {self.most} times in this minute; "
                f"please go on in {self.seconds_left} seconds."
            )

    def headers(self, status: int) -> dict[str, str]:
        """For every answer; with Retry-After for one that was refused for being too fast."""
        if self.used is None:
            return {}
        left = max(0, self.most - self.used)
        headers = {
            "RateLimit-Policy": f'"caller";q={self.most};w={_WINDOW}',
            "RateLimit": f'"caller";r={left};t={self.seconds_left}',
        }
        if status == TooMany.status and self.used > self.most:
            headers["Retry-After"] = str(self.seconds_left)
        return headers


def count(actor: Actor) -> Limit:
    """Count one request of this caller."""
    most: int = settings.API_RATE
    now = time.time()
    minute, into = divmod(now, _WINDOW)
    who = actor.id if actor.id is not None else actor.name
    used = _increment(f"isthmus:rate:{actor.kind}:{who}:{int(minute)}") if most else None
    return Limit(most, used, _WINDOW - int(into))


@remembered.registered
def start_anew() -> None:
    """Forget the connection and that it was away, as a new process does."""
    global _away_until
    _away_until = 0.0
    _client.cache_clear()


def _increment(name: str) -> int | None:
    global _away_until
    if time.monotonic() < _away_until:
        return None
    try:
        with _client().pipeline(transaction=False) as pipeline:
            pipeline.incr(name)
            pipeline.expire(name, 2 * _WINDOW)
            return cast("int", pipeline.execute()[0])
    except redis.RedisError as error:
        _away_until = time.monotonic() + _LEFT_ALONE
        logger.warning("calls are not counted", extra={"why": type(error).__name__})
        return None


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=0.2, socket_connect_timeout=0.2)
