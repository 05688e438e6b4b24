"""An issuer as in the operator's file, and functions that parse issuers and rules from one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from controlplane.auth.oidc.issuer import PROFILES, Give, Issuer, Rule

if TYPE_CHECKING:
    from pathlib import Path

EGI: dict[str, Any] = {
    "alias": "egi",
    "name": "EGI Check-in",
    "profile": "egi-check-in",
    "issuer": "https://aai.egi.eu/auth/realms/egi",
    "client_id": "isthmus",
    "client_secret": "hush",
}
#: The prefix of entitlements for EGI's groups.
E = "urn:mace:egi.eu:group:"
MEMBERS = Rule("members", Give.MEMBER, group=("vo.a",), role="member", tenant="vo-a")
MANAGERS = Rule("managers", Give.MANAGER, group=("vo.a",), role="manager", tenant="vo-a")
GOC = Rule("goc", Give.SITE_OPERATOR, goc_role="Site Operations Manager", goc_site="EXAMPLE-SITE", site="example")
GOC_VALUE = "urn:mace:egi.eu:goc.egi.eu:1234G0:EXAMPLE-SITE:Site+Operations+Manager@egi.eu"


def write(folder: Path, *entries: Any, name: str = "issuers.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump({"issuers": list(entries)}), encoding="utf-8")
    return path


def issuer(*rules: Rule, profile: str = "egi-check-in", **fields: Any) -> Issuer:
    kind = PROFILES[profile]
    return Issuer(
        alias="it", name="It", profile=kind, issuer="https://it.example.org", client_id="isthmus", client_secret="s",
        rules=rules, **{"namespaces": frozenset(kind.namespaces), **fields},
    )  # fmt: skip
