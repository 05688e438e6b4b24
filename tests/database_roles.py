"""Change Django's connection from the owner's role to the web role, which row security binds, or to no database."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def database_role(name: str) -> Iterator[None]:
    """Use another database role for Django's connection."""
    with connection.cursor() as cursor:
        cursor.execute(f'SET ROLE "{name}"')
        try:
            yield
        finally:
            cursor.execute("RESET ROLE")


@contextmanager
def as_role(url: str) -> Iterator[None]:
    """Reconnect this thread with the role in `url`. For tests that commit (`django_db(transaction=True)`)."""
    parts = urlsplit(url)
    with _connected(USER=unquote(parts.username or ""), PASSWORD=unquote(parts.password or "")):
        yield


@contextmanager
def as_web_role() -> Iterator[None]:
    """Reconnect this thread with the web role."""
    with as_role(os.environ["DATABASE_WEB_URL"]):
        yield


@contextmanager
def database_away() -> Iterator[None]:
    """Point the connection to a port where no database answers. For tests that commit."""
    with _connected(HOST="127.0.0.1", PORT="1"):
        yield


@contextmanager
def _connected(**otherwise: str) -> Iterator[None]:
    own = {name: connection.settings_dict[name] for name in otherwise}
    _connect(otherwise)
    try:
        yield
    finally:
        _connect(own)


def _connect(given: dict[str, str]) -> None:
    connection.close()
    if connection.settings_dict["OPTIONS"].get("pool"):
        connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's has one
    connection.settings_dict.update(given)
