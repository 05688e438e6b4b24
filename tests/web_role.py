"""Django's connection as something else than the owner's: the web role's, which row security binds, or none at all.

For tests that commit (`django_db(transaction=True)`).
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def as_web_role() -> Iterator[None]:
    """Django's connection is the web role's."""
    web = urlsplit(os.environ["DATABASE_WEB_URL"])
    owner = {name: connection.settings_dict[name] for name in ("USER", "PASSWORD")}
    _connect(USER=unquote(web.username or ""), PASSWORD=unquote(web.password or ""))
    try:
        yield
    finally:
        _connect(**owner)


@contextmanager
def database_away() -> Iterator[None]:
    """Nothing answers where the database was."""
    there = {name: connection.settings_dict[name] for name in ("HOST", "PORT")}
    _connect(HOST="127.0.0.1", PORT="1")
    try:
        yield
    finally:
        _connect(**there)


def _connect(**who: str) -> None:
    connection.close()
    connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's has one
    connection.settings_dict.update(who)
