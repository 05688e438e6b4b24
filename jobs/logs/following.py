"""Follows a container's output until the container has ended and all its output is sent.

A follower holds a thread and nothing else: it reads the job's row again each second, so that any process sees the end,
and gives the connection back at once. Empty chunks let the server notice that the client has gone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import InterfaceError, OperationalError

from controlplane.database import lend_connection
from controlplane.errors import TooMany
from controlplane.tenants.scope import seeing
from jobs.logs.feeds import Run, SharedOutput, feeds
from jobs.logs.output import at_site, ended_at, is_at_site, output_of
from jobs.logs.text import LogText
from jobs.queries import jobs_for_logs
from sites.connectors.base import Rejected, Unreachable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from jobs.logs.feeds import Feed
    from jobs.logs.text import LogOptions
    from jobs.models import Job

logger = logging.getLogger(__name__)

_LOOK_EVERY = 1.0
_AWAY = (Unreachable, OperationalError, InterfaceError)


class Seats:
    """Limits the followers of this process: LOG_FOLLOWS_PER_TENANT for each tenant, in all a quarter of the threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: Counter[int] = Counter()

    def take(self, tenant_id: int) -> None:
        """Takes a seat, which the caller must give back by `leave`. Raises TooMany where none is free."""
        with self._lock:
            if self._taken[tenant_id] >= settings.LOG_FOLLOWS_PER_TENANT:
                most = settings.LOG_FOLLOWS_PER_TENANT
                raise TooMany(f"Your tenant follows {most} logs already: end one, or ask for this one without follow.")
            if self._taken.total() >= max(1, settings.WEB_THREADS // 4):
                raise TooMany("Too many logs are being followed at the moment; try again later, or ask without follow.")
            self._taken[tenant_id] += 1

    def leave(self, tenant_id: int) -> None:
        with self._lock:
            self._taken[tenant_id] -= 1


#: The seats of this process.
seats = Seats()


def follow(job: Job, container: str, options: LogOptions) -> Generator[bytes]:
    """Yields the log as it is written.

    Ends when the container has ended, after LOG_FOLLOW_IDLE seconds without output, or when the job's row is gone.
    """
    return _Follower(job, container, options).chunks()


class _Follower:
    def __init__(self, job: Job, container: str, options: LogOptions) -> None:
        self._job = job
        self._container = container
        self._options = options
        self._text: LogText | None = None
        self._restart = 0
        self._looked_at = self._sent_at = time.monotonic()
        self._is_done = False

    def chunks(self) -> Generator[bytes]:
        while not self._is_done:
            if is_at_site(self._job):
                yield from self._one_run()
            elif self._job.is_over:
                yield from self._rest()
            else:
                yield b""
                time.sleep(_LOOK_EVERY)
                self._look()

    def _one_run(self) -> Iterator[bytes]:
        """Follows the current run of the container. A requeue begins another run, whose log is sent from its start."""
        run, version = self._run(), 0
        with feeds.following(self._job.site_id, run, at_site(self._job, self._container)) as feed:
            while self._run() == run:
                try:
                    # Look for the end first, then read: so all that was written before the end is read.
                    has_code = self._job.observed.get(self._container, {}).get("code") is not None
                    yield from self._rest() if self._job.is_over or has_code else self._news(feed)
                except _AWAY:
                    yield b""  # continue at the same place when the site answers
                except Rejected as error:
                    logger.warning("log refused", extra={"job": self._job.pk, "why": error.message})
                    self._is_done = True
                if self._is_done:
                    return
                version = feed.wait(version, timeout=_LOOK_EVERY)
                self._look()
                feed.source = at_site(self._job, self._container)
        if self._text is not None:
            self._text, self._options = None, replace(self._options, tail=None, since=None)

    def _news(self, feed: Feed) -> Iterator[bytes]:
        self._text = self._text or LogText(SharedOutput(feed), self._options)
        for chunk in self._text.available(otherwise=None):
            self._sent_at = time.monotonic()
            yield chunk
        yield b""

    def _rest(self) -> Iterator[bytes]:
        """Yields what is left of an ended container's log, from the site or from the archive."""
        with closing(output_of(self._job, self._container)) as output:
            if self._text is None:
                self._text = LogText(output, self._options)
            self._text.output = output
            yield from self._text.available(otherwise=ended_at(self._job, self._container) or int(time.time()))
        self._is_done = True

    def _run(self) -> Run:
        # One report has the requeue and a later one the container's start: the number must never go back.
        restarts = (seen.get("restart", 0) for seen in self._job.observed.values())
        self._restart = max(self._restart, *restarts, 0)
        return Run(self._job.attempt_key, self._restart, self._container)

    def _look(self) -> None:
        """Reads the row again, at most once a second. While PostgreSQL is away nothing changes."""
        now = time.monotonic()
        if now - self._sent_at > settings.LOG_FOLLOW_IDLE:
            self._is_done = True
        if now - self._looked_at < _LOOK_EVERY:
            return
        self._looked_at = now
        try:
            with seeing(tenants=[self._job.tenant_id]):
                job = jobs_for_logs().one_or_none(pk=self._job.pk)
        except (OperationalError, InterfaceError) as error:
            logger.warning("row not looked up", extra={"job": self._job.pk, "why": type(error).__name__})
        else:
            self._is_done = self._is_done or job is None
            self._job = job or self._job
        finally:
            lend_connection()
