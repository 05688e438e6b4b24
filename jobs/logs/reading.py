"""Reading a container's log: which container is meant, and the stream that answers."""

from __future__ import annotations

import itertools
import logging
import time
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Self

from controlplane.database import lend_connection
from controlplane.errors import Invalid, NotFound, Unavailable
from jobs.logs.following import follow, seats
from jobs.logs.output import ended_at, output_of
from jobs.logs.text import LogText, limited
from sites import health
from sites.connectors.base import Rejected, Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from jobs.logs.options import LogOptions
    from jobs.models import Job

logger = logging.getLogger(__name__)

#: A site that falls silent in the middle of an answer is asked again this often: the client could not tell what it has
#: got by then from a whole log.
_TRIES = 5


class LogStream:
    """The bytes of an answer, as they come; empty chunks only show that it goes on. To be closed."""

    def __init__(self, chunks: Generator[bytes], let_go: Callable[[], None]) -> None:
        self._closing = ExitStack()
        self._closing.callback(let_go)
        self._chunks = self._closing.enter_context(closing(chunks))

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        """Safe to call twice, and before the first byte was asked for."""
        self._closing.close()


def container_of(job: Job, name: str | None) -> str:
    """The container of this name, or the only one where none is named.

    Raises NotFound where the pod has no such container, and Invalid where it has several and none is named.
    """
    names = [known["name"] for known in job.containers]
    if not name and len(names) > 1:
        raise Invalid({"container": f"The pod has several containers: name one of {', '.join(names)}."})
    found = name or "".join(names)
    if found not in names:
        raise NotFound(f"The pod {job} has no container {found} here; it has {', '.join(names) or 'none'}.")
    return found


def open_log(job: Job, container: str, options: LogOptions) -> LogStream:
    """The answer to one request. Close it.

    Raises before the first byte: Unavailable when the site or the archive does not answer, TooMany when another
    follower is one too many, NotFound when the log was kept its time. A follower waits for its site instead.
    """
    if options.follow and not job.is_over:
        return _followed(job, container, options)
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
    # Nothing from here on needs the database: a long answer shall not hold a connection.
    lend_connection()
    return LogStream(limited(_insisting(first, begun, text, otherwise), options.limit), output.close)


def _insisting(first: bytes, begun: Iterator[bytes], text: LogText, otherwise: int) -> Generator[bytes]:
    """`first`, the rest of `begun`, and where the site falls silent meanwhile, what is left once it answers."""
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


def _followed(job: Job, container: str, options: LogOptions) -> LogStream:
    seats.take(job.tenant_id)
    lend_connection()
    chunks = limited(follow(job, container, options), options.limit)
    return LogStream(chunks, lambda: seats.leave(job.tenant_id))
