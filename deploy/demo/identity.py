"""The demo's identity provider as both its sides need it: where it is, its secrets, and the file of issuers for it."""

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
    """port: the provider's, on loopback. password: everybody's, without which other users of this host stay out.

    callbacks: where the provider may send browsers back to.
    """

    port: int
    password: str
    client_secret: str
    callbacks: tuple[str, ...]

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"


def prepare(home: Path, web_port: int) -> Identity:
    """What an earlier run kept in `home`, or made now. People are known by the issuer's URL: its port stays."""
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
    """The file for ISTHMUS_ISSUERS, whose rules give every one of deploy/people.py a role. site: whose operator."""
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
    """What the provider says about a person. The subject is their login name."""
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
    """How the provider is started that `prepare` made ready."""
    return [sys.executable, "-m", "deploy.demo.provider", str(home / KEPT)]


def write_private(place: Path, text: str) -> None:
    """A file for its owner alone."""
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
    """The first of these ports that can be had, or any."""
    for port in (*wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a connection's remains are no server
            try:
                if port is not None:
                    probe.bind(("127.0.0.1", port))
                    return int(probe.getsockname()[1])
            except (OSError, OverflowError):
                continue
    raise AssertionError("the kernel has no free port")
