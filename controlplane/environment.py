"""Readers of the environment that fail loudly, in one sentence, at start. Used by settings.py alone.

Every reader also takes `NAME_FILE`: the path of a file with the value, as container platforms hand out secrets.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from django.core.exceptions import ImproperlyConfigured

#: The database roles; docs/design.md says what each is for.
ROLES = ("owner", "web", "worker")


def text(name: str, *, default: str | None = None) -> str:
    """The value of NAME, or of the file named by NAME_FILE. Without a default, absence refuses start."""
    if path := os.environ.get(f"{name}_FILE"):
        return Path(path).read_text(encoding="utf-8").strip()
    value = os.environ.get(name, default)
    if value is None:
        raise ImproperlyConfigured(f"Set {name} (or {name}_FILE) in the environment; see docs/settings.md.")
    return value


def number(name: str, *, default: int) -> int:
    """A whole number of zero or more."""
    value = text(name, default=str(default))
    if not value.isascii() or not value.isdigit():
        raise ImproperlyConfigured(f"{name} must be a whole number, not {value!r}.")
    return int(value)


def seconds(name: str, *, default: float, most: float | None = None) -> float:
    """A duration in seconds, of no more than `most`."""
    value = text(name, default=str(default))
    try:
        duration = float(value)
    except ValueError:
        duration = -1.0
    if not 0 <= duration < float("inf"):
        raise ImproperlyConfigured(f"{name} must be a number of seconds, not {value!r}.")
    if most is not None and duration > most:
        raise ImproperlyConfigured(f"{name} must be no more than {most:g} seconds, not {value!r}.")
    return duration


def flag(name: str, *, default: bool) -> bool:
    """true/false, yes/no, on/off or 1/0."""
    value = text(name, default=str(default)).lower()
    if value in {"1", "true", "yes", "on"}:
        return True
    if value in {"0", "false", "no", "off"}:
        return False
    raise ImproperlyConfigured(f"{name} must be true or false, not {value!r}.")


def items(name: str, *, default: str | None = None, secret: bool = False) -> list[str]:
    """A comma-separated list. A secret one may not be empty."""
    found = [item for part in text(name, default=default).split(",") if (item := part.strip())]
    if secret and not found:
        raise ImproperlyConfigured(f"{name} must not be empty; see docs/settings.md.")
    return found


def database_url(role: str) -> str:
    """The URL for `role`, one of `ROLES`."""
    return text(f"DATABASE_{role.upper()}_URL", default="") or text("DATABASE_URL")


def database(*, pool_max: int) -> dict[str, Any]:
    """Django's description of the database this process uses.

    ISTHMUS_DATABASE_ROLE (owner, web or worker) picks DATABASE_<ROLE>_URL; DATABASE_URL serves roles without their own.
    """
    role = text("ISTHMUS_DATABASE_ROLE", default="owner")
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
        # It gives up reconnecting early, or its back-off would outlast a restart of PostgreSQL by minutes.
        "OPTIONS": {
            "connect_timeout": "5",
            **options,
            "prepare_threshold": 0,  # for controlplane/database.py; the ORM's own cursors never prepare
            "pool": {"min_size": 0, "max_size": pool_max, "timeout": 5, "reconnect_timeout": 2},
        },
    }
