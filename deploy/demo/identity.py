"""The demo's identity provider: its address, its secrets, and the file of issuers that names it."""

from __future__ import annotations

import json
import secrets
import socket
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import yaml

from deploy.people import COMMUNITIES, GOC_SITE, Someone, entitlement

if TYPE_CHECKING:
    from pathlib import Path

ALIAS = "demo"
CLIENT = "isthmus"
KEPT = "identity.json"


@dataclass(frozen=True)
class Identity:
    """The provider's address and secrets.

    port: on loopback. password: the same for all demo people; it keeps other users of this host out. callbacks: the
    URLs to which the provider may send browsers back.
    """

    port: int
    password: str
    client_secret: str
    callbacks: tuple[str, ...]

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def load_or_create(home: Path, web_port: int) -> Identity:
    """Return the identity that an earlier run stored in `home`, or make one.

    It keeps its port if that is free: the issuer's URL contains the port, and people are known by that URL.
    """
    place = home / KEPT
    kept = json.loads(place.read_text(encoding="utf-8")) if place.exists() else {}
    identity = Identity(
        port=_free(kept.get("port"), web_port + 1),
        password=kept.get("password") or secrets.token_urlsafe(9),
        client_secret=kept.get("client_secret") or secrets.token_urlsafe(24),
        callbacks=tuple(f"http://{host}:{web_port}/oidc/{ALIAS}/callback/" for host in ("127.0.0.1", "localhost")),
    )
    write_private(place, json.dumps(asdict(identity)))
    return identity


def write_issuers(home: Path, identity: Identity, *, site: str) -> Path:
    """Write the file for ISTHMUS_ISSUERS, whose rules give the people of deploy/people.py their roles.

    site: the slug of the site that the site operator runs. Returns the file's path.
    """
    issuer = {
        "alias": ALIAS,
        "name": "Demo identity provider",
        "profile": "egi-check-in",
        "issuer": identity.issuer,
        "client_id": CLIENT,
        "client_secret": identity.client_secret,
        "clients": [CLIENT],
        "rules": _rules(site),
    }
    place = home / "issuers.yaml"
    write_private(place, yaml.safe_dump({"issuers": [issuer]}, sort_keys=False))
    return place


def claims(someone: Someone) -> dict[str, Any]:
    """Return the claims that the provider makes about a person. The subject is the login name."""
    return {
        "name": f"{someone.given_name} {someone.family_name}",
        "preferred_username": someone.name,
        "email": someone.email,
        "email_verified": True,
        "eduperson_scoped_affiliation": [someone.affiliation],
        "entitlements": list(someone.entitlements),
        "eduperson_entitlement": list(someone.entitlements),
    }


def argv(home: Path) -> list[str]:
    """Return the command that starts the provider with the identity in `home`."""
    return [sys.executable, "-m", "deploy.demo.provider", str(home / KEPT)]


def write_private(place: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    place.touch(mode=0o600)
    place.chmod(0o600)
    place.write_text(text, encoding="utf-8")


def _rules(site: str) -> list[dict[str, Any]]:
    federation = ("operator", "auditor")
    return [
        {"name": f"{tenant}-{role}s", "group": group, "role": role, "tenant": tenant, "give": role}
        for tenant, group in COMMUNITIES.items()
        for role in ("member", "manager")
    ] + [
        {
            "name": f"federation-{role}s",
            "entitlement": entitlement("isthmus.egi.eu", f"federation-{role}"),
            "give": f"federation_{role}",
        }
        for role in federation
    ] + [
        {
            "name": "site-operators",
            "goc_role": "Site Operations Manager",
            "goc_site": GOC_SITE,
            "site": site,
            "give": "site_operator",
        }
    ]  # fmt: skip


def _free(*wanted: int | None) -> int:
    """Return the first of these ports that is free, or any free port."""
    for port in (*wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a closed connection does not block a port
            try:
                if port is not None:
                    probe.bind(("127.0.0.1", port))
                    return int(probe.getsockname()[1])
            except (OSError, OverflowError):
                continue
    raise AssertionError("the kernel has no free port")
