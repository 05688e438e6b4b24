"""Functions that read settings from environment variables and refuse to start, in one sentence, if a value is wrong.

Every function also reads `NAME_FILE`, the path of a file that holds the value: container platforms provide secrets so.
All raise ImproperlyConfigured for a wrong or missing value.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

#: The database roles; docs/design.md explains each.
ROLES = ("owner", "web", "worker")


def string(name: str, *, default: str | None = None) -> str:
    """Returns the value of NAME, or the content of the file that NAME_FILE names. Without a default it is required."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text(encoding="utf-8").strip()
    value = os.environ.get(name, default)
    if value is None:
        raise ImproperlyConfigured(f"Set {name} (or {name}_FILE) in the environment; see docs/settings.md.")
    return value


def number(name: str, *, default: int) -> int:
    """Returns a whole number, zero or more."""
    value = string(name, default=str(default))
    if not value.isascii() or not value.isdigit():
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}.")
    return int(value)


def seconds(name: str, *, default: float, most: float | None = None) -> float:
    """Returns a duration in seconds, from 0 to `most`."""
    value = string(name, default=str(default))
    try:
        duration = float(value)
    except ValueError:
        duration = -1.0
    if not 0 <= duration < float("inf"):
        raise ImproperlyConfigured(f"{name} must be a number of seconds, not {value!r}.")
    if most is not None and duration > most:
        raise ImproperlyConfigured(f"{name} must be no more than {most:g} seconds, not {value!r}.")
    return duration


def boolean(name: str, *, default: bool) -> bool:
    """Returns a boolean, written as true/false, yes/no, on/off or 1/0."""
    value = string(name, default=str(default)).lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")


def items(name: str, *, default: str | None = None, secret: bool = False) -> list[str]:
    """Returns a comma-separated list, blanks and empty items removed. With `secret`, the list may not be empty."""
    found = [item for part in string(name, default=default).split(",") if (item := part.strip())]
    if secret and not found:
        raise ImproperlyConfigured(f"{name} must not be empty; see docs/settings.md.")
    return found


def database_url(role: str) -> str:
    """Returns the database URL for `role`, one of `ROLES`."""
    return string(f"DATABASE_{role.upper()}_URL", default="") or string("DATABASE_URL")


def database(*, pool_max: int) -> dict[str, Any]:
    """Returns Django's settings of the database that this process uses. pool_max: connections in its pool.

    ISTHMUS_DATABASE_ROLE (owner, web or worker) selects DATABASE_<ROLE>_URL; without one, DATABASE_URL is used.
    """
    role = string("ISTHMUS_DATABASE_ROLE", default="owner")
    if role not in ROLES:
        raise ImproperlyConfigured(f"ISTHMUS_DATABASE_ROLE must be owner, web or worker, not {role!r}.")
    parts = urlsplit(database_url(role))
    if parts.scheme not in {"postgres", "postgresql"}:
        raise ImproperlyConfigured("DATABASE_URL must begin with postgresql://; no other database is supported.")
    options: dict[str, Any] = dict(parse_qsl(parts.query))
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", "") or unquote(parts.hostname or ""),
        "PORT": options.pop("port", "") or str(parts.port or ""),
        # A pool, so that a thread that waits for something else holds no connection.
        # It stops reconnecting early: its exponential back-off would go on for minutes after PostgreSQL is up again.
        "OPTIONS": {
            "connect_timeout": "5",
            **options,
            "prepare_threshold": 0,  # for controlplane/database.py; the ORM's own cursors never prepare
            "pool": {"min_size": 0, "max_size": pool_max, "timeout": 5, "reconnect_timeout": 2},
        },
    }
