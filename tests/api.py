"""Calls to the REST API with the web service's database role, so that row security is in force as in production."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg

from tests.database_roles import database_role
from tests.wire import call

if TYPE_CHECKING:
    from tests.wire import Answer

ROOT = "/api/v1/"
PROBLEM = "application/problem+json"


@dataclass(frozen=True)
class Api:
    """The API at /api/v1/; paths are relative to it, or absolute as in `next`. role: the web service's role."""

    role: str

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """Send one request. A body that is not bytes is sent as JSON."""
        sent = {"Content-Type": "application/json", **(headers or {})} if body is not None else headers
        with database_role(self.role):
            return call(method, path if path.startswith("/") else ROOT + path, body, token=token, headers=sent)

    def get(self, path: str, *, token: str | None = None, headers: dict[str, str] | None = None) -> Answer:
        return self.call("GET", path, token=token, headers=headers)

    def post(
        self, path: str, body: Any = None, *, token: str | None = None, headers: dict[str, str] | None = None
    ) -> Answer:
        return self.call("POST", path, body, token=token, headers=headers)

    def patch(self, path: str, body: Any, *, token: str | None = None) -> Answer:
        return self.call("PATCH", path, body, token=token)

    def delete(self, path: str, *, token: str | None = None) -> Answer:
        return self.call("DELETE", path, token=token)


def role_of(url: str) -> str:
    """Return the role that a database URL names."""
    return str(psycopg.conninfo.conninfo_to_dict(url)["user"])
