"""Limits each caller to API_RATE requests per minute of the clock, counted in Redis for all web processes.

The headers follow the IETF draft "RateLimit header fields for HTTP". While Redis is down nothing is counted: it is
better to let a fast caller through than to refuse all callers.
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

_WINDOW = 60  # seconds
#: Circuit breaker: seconds without a call to Redis after a failed one, so that an outage hardly slows requests.
_BREAK = 5.0
_down_until = 0.0  # on the monotonic clock


@dataclass(frozen=True)
class Limit:
    """How many requests one caller has made in this minute. used: None if they could not be counted."""

    most: int
    used: int | None
    seconds_left: int

    def check(self) -> None:
        """Raises TooMany if the caller has used more than the limit."""
        if self.used is not None and self.used > self.most:
            raise TooMany(
                f"You have called more than {self.most} times in this minute; "
                f"please continue in {self.seconds_left} seconds."
            )

    def headers(self, status: int) -> dict[str, str]:
        """Returns the headers of an answer with this status; Retry-After if this limit refused the request."""
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
    """Counts one request of this caller and returns what it has used. With an API_RATE of 0 there is no limit."""
    most: int = settings.API_RATE
    minute, into = divmod(time.time(), _WINDOW)
    who = actor.id if actor.id is not None else actor.name
    used = _increment(f"isthmus:rate:{actor.kind}:{who}:{int(minute)}") if most else None
    return Limit(most, used, _WINDOW - int(into))


@remembered.registered
def reset() -> None:
    """Drops the connection and closes the circuit breaker, as in a new process."""
    global _down_until
    _down_until = 0.0
    _client.cache_clear()


def _increment(name: str) -> int | None:
    """Increments a counter in Redis. Returns its new value, or None while Redis is down."""
    global _down_until
    if time.monotonic() < _down_until:
        return None
    try:
        with _client().pipeline(transaction=False) as pipeline:
            pipeline.incr(name)
            pipeline.expire(name, 2 * _WINDOW)
            return cast("int", pipeline.execute()[0])
    except redis.RedisError as error:
        _down_until = time.monotonic() + _BREAK
        logger.warning("calls are not counted", extra={"why": type(error).__name__})
        return None


@cache
def _client() -> redis.Redis:
    return redis.Redis.from_url(settings.REDIS_URL, socket_timeout=0.2, socket_connect_timeout=0.2)
