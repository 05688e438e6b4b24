"""Outlasts an outage of PostgreSQL: /create and /delete wait in the request, since a kubelet sends them once.

A waiting request holds no connection. At most three quarters of the threads wait, so that pings and polls still find a
free thread. While the database is away, one request at a time tries whether it is back.
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

Result = TypeVar("Result")
_FIRST_WAIT, _LONGEST_WAIT = 0.1, 1.0


class Outage:
    """Whether the database is away, as far as this process knows."""

    def __init__(self) -> None:
        self._away = False
        self._trying = threading.Lock()
        self._counting = threading.Lock()
        self._waiting = 0

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Runs a block that uses the database. Raises Unavailable when it is away, at once if that is known."""
        if self._away and not self._is_back():
            raise _away()
        try:
            yield
        except (OperationalError, InterfaceError) as error:
            self._away = True
            connection.close()
            raise _away() from error

    def _is_back(self) -> bool:
        """Tries to connect, one request at a time, without Django's pool, where a request would wait for long."""
        if not self._trying.acquire(blocking=False):
            return False
        try:
            psycopg.connect(conninfo()).close()
        except psycopg.OperationalError:
            return False
        else:
            self._away = False
            return True
        finally:
            self._trying.release()

    def outlast(self, work: Callable[[], Result], *, until: float) -> Result:
        """Returns the result of `work`, which is tried again while the database is away.

        until: when to give up, by the monotonic clock. `work` must be safe to repeat, since a commit may have happened
        although its confirmation was lost. Raises Unavailable at `until`, or at once where too many requests wait.
        """
        try:
            with self.attempt():
                return work()
        except Unavailable:
            with self._place_to_wait():
                return self._try_again(work, until=until)

    def _try_again(self, work: Callable[[], Result], *, until: float) -> Result:
        wait = _FIRST_WAIT
        while True:
            if time.monotonic() + wait > until:
                raise _away()
            connection.close()  # a sleeping request holds no connection
            time.sleep(wait)
            wait = min(2 * wait, _LONGEST_WAIT)
            try:
                with self.attempt():
                    return work()
            except Unavailable:
                continue

    @contextmanager
    def _place_to_wait(self) -> Iterator[None]:
        """Takes one of the places to wait until the end, so that a later request cannot take it. Raises Unavailable."""
        with self._counting:
            if self._waiting >= settings.WEB_THREADS * 3 // 4:
                raise _away()
            self._waiting += 1
        try:
            yield
        finally:
            with self._counting:
                self._waiting -= 1


#: The outage of this process's database.
outage = Outage()


def _away() -> Unavailable:
    return Unavailable("The service's database does not answer at the moment; please try again in a while.")
