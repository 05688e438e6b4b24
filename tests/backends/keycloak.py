"""The Keycloak that `tests/backends/up.sh` started: its tokens, its people, and how to make it fail."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import requests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: The values that tests/backends/parts/keycloak.sh sets.
PASSWORD = "people-pw"
CLIENT_SECRET = "isthmus-secret"


@dataclass(frozen=True)
class Keycloak:
    """url: without a trailing slash; pidfile: of Keycloak's JVM."""

    url: str
    pidfile: Path

    def realm(self, name: str = "isthmus") -> str:
        """Return a realm's URL, which is its issuer identifier."""
        return f"{self.url}/realms/{name}"

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.realm('isthmus2')}/.well-known/openid-configuration", timeout=5).ok
        except requests.RequestException:
            return False

    def token_of(self, name: str, *, realm: str = "isthmus") -> str:
        """Return a person's access token, as a command line tool (client isthmus-cli) gets it."""
        return self._token(realm, client_id="isthmus-cli", grant_type="password", username=name, password=PASSWORD)

    def service_token(self, *, realm: str = "isthmus") -> str:
        """Return an access token of the client isthmus-svc, which belongs to no person."""
        return self._token(realm, client_id="isthmus-svc", client_secret=CLIENT_SECRET, grant_type="client_credentials")

    @contextmanager
    def changed(self, name: str, **fields: Any) -> Iterator[None]:
        """Change `enabled`, `attributes` or `groups` (paths) of a person in realm isthmus until the block ends."""
        before = self._person(name)
        before["groups"] = [group["path"] for group in self._admin("GET", f"users/{before['id']}/groups")]
        self._set(before, fields)
        try:
            yield
        finally:
            self._set(before, {field: before[field] for field in fields})

    @contextmanager
    def asking_for_consent(self) -> Iterator[None]:
        """Let Keycloak ask for consent after the password; a person who refuses is sent back with an error."""
        client = self._admin("GET", "clients?clientId=isthmus")[0]
        self._admin("PUT", f"clients/{client['id']}", client | {"consentRequired": True})
        try:
            yield
        finally:
            self._admin("PUT", f"clients/{client['id']}", client)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Let Keycloak accept connections and answer none of them, like an overloaded host."""
        pid = int(self.pidfile.read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def _set(self, person: dict[str, Any], fields: dict[str, Any]) -> None:
        place = f"users/{person['id']}"
        own = {field: value for field, value in fields.items() if field != "groups"}
        if own:
            current = self._admin("GET", place)
            self._admin("PUT", place, current | own)
        if "groups" not in fields:
            return
        for group in self._admin("GET", f"{place}/groups"):
            self._admin("DELETE", f"{place}/groups/{group['id']}")
        for path in fields["groups"]:
            group = self._admin("GET", f"group-by-path/{path.lstrip('/')}")
            self._admin("PUT", f"{place}/groups/{group['id']}")

    def _person(self, name: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = self._admin("GET", f"users?exact=true&username={name}")
        return found[0]

    def _admin(self, method: str, path: str, body: object = None) -> Any:
        token = self._token("master", client_id="admin-cli", grant_type="password", username="admin", password="admin")
        answer = requests.request(
            method,
            f"{self.url}/admin/realms/isthmus/{path}",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=20,
        )
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def _token(self, realm: str, **form: str) -> str:
        endpoint = f"{self.realm(realm)}/protocol/openid-connect/token"
        answer = requests.post(endpoint, data={"scope": "openid", **form}, timeout=20)
        answer.raise_for_status()
        return str(answer.json()["access_token"])
