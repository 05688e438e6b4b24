"""A log ends when its reader may not see it any more: what is followed may go on for days."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Self

from django.conf import settings
from django.db import InterfaceError, OperationalError

from controlplane.database import lend_connection
from controlplane.errors import Forbidden, Unauthenticated, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from jobs.logs.reading import LogStream


class WhileAllowed:
    """`stream`, as long as `may_read` says so, which is asked as often as a token is looked up. To be closed.

    may_read: False, Unauthenticated and Forbidden are a no; while nobody can say it goes on.
    """

    def __init__(self, stream: LogStream, may_read: Callable[[], bool]) -> None:
        self._stream = stream
        self._may_read = may_read
        self._asked_at = time.monotonic()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        if time.monotonic() - self._asked_at >= max(settings.TOKEN_MEMORY, 1):
            self._asked_at = time.monotonic()
            if not self._is_allowed():
                raise StopIteration
        return next(self._stream)

    def close(self) -> None:
        self._stream.close()

    def _is_allowed(self) -> bool:
        try:
            return self._may_read()
        except (Unauthenticated, Forbidden):
            return False
        except (Unavailable, OperationalError, InterfaceError):
            return True
        finally:
            lend_connection()
