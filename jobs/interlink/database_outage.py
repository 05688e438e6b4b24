"""Living through an outage of PostgreSQL: /create and /delete wait in the request, since a kubelet sends them once.

A request that waits holds no connection, and no more than three quarters of the threads wait, so that pings and polls
still find one. While the database is away only one request at a time finds out whether it is back.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import psycopg
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from controlplane.errors import Unavailable
from jobs.interlink.status_reader import conninfo

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Answer = TypeVar("Answer")
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 1.0


class Outage:
    """What this process knows of the database's absence."""

    def __init__(self) -> None:
        self._away = False
        self._finding_out = threading.Lock()
        self._counting = threading.Lock()
        self._waiting = 0

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Work with the database. Raises Unavailable when it is away, at once if that is known."""
        if self._away and not self._is_back():
            raise _away()
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            self._away = True
            connection.close()
            raise _away() from error

    def _is_back(self) -> bool:
        """Asked by one request at a time and past Django's pool, where a request would wait for long."""
        if not self._finding_out.acquire(blocking=False):
            return False
        try:
            psycopg.connect(conninfo()).close()
        except psycopg.OperationalError:
            return False
        else:
            self._away = False
            return True
        finally:
            self._finding_out.release()

    def outlast(self, work: Callable[[], Answer], *, until: float) -> Answer:
        """`work`'s answer, tried again and again while the database is away, until that time of the monotonic clock.

        `work` must be safe to repeat: a commit whose confirmation was lost has happened. Raises Unavailable at the
        end, or at once where too many wait already.
        """
        try:
            with self.attempt():
                return work()
        except Unavailable:
            with self._place_to_wait():
                return self._try_again(work, until=until)

    def _try_again(self, work: Callable[[], Answer], *, until: float) -> Answer:
        wait = _FIRST_WAIT
        while True:
            if time.monotonic() + wait > until:
                raise _away()
            connection.close()  # a request that sleeps holds none
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
            try:
                with self.attempt():
                    return work()
            except Unavailable:
                continue

    @contextmanager
    def _place_to_wait(self) -> Iterator[None]:
        """One of three quarters of the threads, kept until the end: a later request must not turn away an earlier."""
        with self._counting:
            if self._waiting >= settings.WEB_THREADS * 3 // 4:
                raise _away()
            self._waiting += 1
        try:
            yield
        finally:
            with self._counting:
                self._waiting -= 1


#: The one of this process.
outage = Outage()


def _away() -> Unavailable:
    return Unavailable("The service's database does not answer at the moment; please try again in a while.")
