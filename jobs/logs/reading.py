"""Answers a request for a container's log: checks its options, finds the container, and streams the text."""

from __future__ import annotations

import itertools
import logging
import time
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Self

from django.conf import settings
from django.db import InterfaceError, OperationalError

from controlplane.database import lend_connection
from controlplane.errors import BadRequest, Forbidden, Invalid, NotFound, Unauthenticated, Unavailable
from jobs.logs.following import follow, seats
from jobs.logs.output import ended_at, limited, output_of
from jobs.logs.text import LogOptions, LogText
from sites import health
from sites.connectors.base import Rejected, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

    from jobs.models import Job

logger = logging.getLogger(__name__)

#: How many times we ask a site again that falls silent in the middle of an answer. A client could not know a cut log
#: from a whole one.
_TRIES = 5
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Go's zero time.
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


class LogStream:
    """The chunks of an answer; an empty chunk only shows that the stream goes on. The caller closes it.

    may_read: whether the reader may still see the log. It is asked again every TOKEN_MEMORY seconds, since a followed
    log may go on for days. The stream ends where it returns False or raises Unauthenticated or Forbidden, and goes on
    while nobody can answer it.
    """

    def __init__(self, chunks: Generator[bytes], let_go: Callable[[], None], may_read: Callable[[], bool]) -> None:
        self._closing = ExitStack()
        self._closing.callback(let_go)
        self._chunks = self._closing.enter_context(closing(chunks))
        self._may_read = may_read
        self._checked_at = time.monotonic()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if time.monotonic() - self._checked_at >= max(settings.TOKEN_MEMORY, 1):
            self._checked_at = time.monotonic()
            if not self._is_allowed():
                raise StopIteration
        return next(self._chunks)

    def close(self) -> None:
        """Safe to call twice, and before the first chunk was read."""
        self._closing.close()

    def _is_allowed(self) -> bool:
        try:
            return self._may_read()
        except (Unauthenticated, Forbidden):
            return False
        except (Unavailable, OperationalError, InterfaceError):
            return True
        finally:
            lend_connection()


def parse_options(opts: object, *, now: datetime) -> LogOptions:
    """The `Opts` object of a /getLogs request. Raises BadRequest. A time in the future counts as now.

    The options mean what they mean to a kubelet (`PodLogOptions` of core/v1). A zero value means unset, as the
    interLink virtual kubelet sends it.
    """
    if opts is None:
        return LogOptions()
    if not isinstance(opts, dict):
        raise BadRequest("Opts must be an object of log options.")
    tail, limit, seconds = (_count(opts, name) for name in ("Tail", "Bytes", "SinceSeconds"))
    time = _time(opts, "SinceTime")
    if tail and limit:
        raise BadRequest("Set Tail or Bytes, not both.")
    if seconds and time is not None:
        raise BadRequest("Set SinceSeconds or SinceTime, not both.")
    if _flag(opts, "Previous"):
        raise BadRequest("There is no previous container: a pod runs once here, and its containers are not restarted.")
    present = _epoch(now)
    since = present - seconds if seconds else time
    return LogOptions(
        tail=tail or None,
        limit=limit or None,
        timestamps=_flag(opts, "Timestamps"),
        since=None if since is None else min(since, present),
        follow=_flag(opts, "Follow"),
    )


def container_of(job: Job, name: str | None) -> str:
    """The container of this name, or the only one where the name is empty.

    Raises NotFound where the pod has no such container, and Invalid where it has several and the name is empty.
    """
    names = [known["name"] for known in job.containers]
    if not name and len(names) > 1:
        raise Invalid({"container": f"The pod has several containers: name one of {', '.join(names)}."})
    found = name or "".join(names)
    if found not in names:
        raise NotFound(f"The pod {job} has no container {found} here; it has {', '.join(names) or 'none'}.")
    return found


def open_log(
    job: Job, container: str, options: LogOptions, *, may_read: Callable[[], bool] = lambda: True
) -> LogStream:
    """Opens the answer to one request; the caller closes it. For `may_read` see `LogStream`.

    Raises before the first byte: Unavailable when the site or the archive does not answer, TooMany when there are too
    many followers already, NotFound when the log is older than KEEP_LOGS. A follower waits for its site instead.
    """
    if options.follow and not job.is_over:
        seats.take(job.tenant_id)
        lend_connection()
        chunks = limited(follow(job, container, options), options.limit)
        return LogStream(chunks, lambda: seats.leave(job.tenant_id), may_read)
    otherwise = (ended_at(job, container) if job.is_over else None) or int(time.time())
    with ExitStack() as opened:
        output = opened.enter_context(closing(output_of(job, container)))
        try:
            text = LogText(output, options)
            begun = text.available(otherwise=otherwise)
            first = next(begun, b"")
        except (Unreachable, Rejected) as error:
            raise Unavailable(f"{error.message} Ask again when the site answers.") from error
        opened.pop_all()
    # From here on nothing needs the database: a long answer must not hold a connection.
    lend_connection()
    return LogStream(limited(_insisting(first, begun, text, otherwise), options.limit), output.close, may_read)


def _insisting(first: bytes, begun: Iterator[bytes], text: LogText, otherwise: int) -> Generator[bytes]:
    """Yields `first` and the rest of `begun`. Where the site falls silent meanwhile, asks again for what is left."""
    yield first
    for tries in itertools.count(1):
        try:
            yield from begun
            return
        except Unreachable as error:
            logger.warning("log interrupted", extra={"why": error.message, "tries": tries})
            if tries > _TRIES:
                raise
            time.sleep(health.delay(tries).total_seconds())
            begun = text.available(otherwise=otherwise)


def _count(opts: Mapping[str, Any], name: str) -> int:
    value = opts.get(name) or 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadRequest(f"{name} must be a whole number, zero or more.")
    return value


def _flag(opts: Mapping[str, Any], name: str) -> bool:
    value = opts.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false.")
    return bool(value)


def _time(opts: Mapping[str, Any], name: str) -> int | None:
    text = opts.get(name) or ""
    try:
        time = datetime.fromisoformat(text) if text else _NEVER
    except (TypeError, ValueError):
        time = None
    if time is None or time.tzinfo is None:
        raise BadRequest(f"{name} must be a time such as 2026-01-31T12:00:00Z.")
    return None if time == _NEVER else _epoch(time)


def _epoch(time: datetime) -> int:
    """Whole seconds, rounded down: an index has no fractions, and no line may be lost to one."""
    return (time - _EPOCH) // timedelta(seconds=1)
