"""Being another database role for a while: row security does not bind the owner, as whom tests connect."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django.db import connection

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def as_role(url: str) -> Iterator[None]:
    """This thread's connection is that of the role in `url`."""
    own = {name: connection.settings_dict[name] for name in ("USER", "PASSWORD")}
    parts = urlsplit(url)
    _connect_as({"USER": parts.username, "PASSWORD": parts.password})
    try:
        yield
    finally:
        _connect_as(own)


def _connect_as(user: dict[str, Any]) -> None:
    connection.close()
    if connection.settings_dict["OPTIONS"].get("pool"):
        connection.close_pool()  # type: ignore[attr-defined]  # PostgreSQL's
    connection.settings_dict.update(user)
