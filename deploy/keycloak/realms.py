"""Writes the two realms that Keycloak imports: `python -m deploy.keycloak.realms`. A test compares the files with this.

The realm isthmus has the people of deploy/people.py, isthmus2 the strangers. Both have the clients `isthmus` (browser
login), `isthmus-cli` (device and password grants) and `isthmus-svc` (client credentials). The files hold no passwords
or secrets: Keycloak replaces each ${NAME} from its environment when it imports them.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from deploy.people import COMMUNITIES, PEOPLE, STRANGERS, Someone

FOLDER = Path(__file__).parent
Json = dict[str, Any]

_EVERYWHERE = {
    "id.token.claim": "true",
    "access.token.claim": "true",
    "userinfo.token.claim": "true",
    "introspection.token.claim": "true",
}


def documents() -> dict[str, str]:
    """Return the content of each realm's file, by file name."""
    realms = (_realm("isthmus", PEOPLE, authority="egi.eu"), _realm("isthmus2", STRANGERS, authority="second.eu"))
    return {f"{realm['realm']}-realm.json": json.dumps(realm, indent=1) + "\n" for realm in realms}


def _mapper(claim: str, kind: str = "usermodel-attribute", **config: str) -> Json:
    return {
        "name": claim,
        "protocol": "openid-connect",
        "protocolMapper": f"oidc-{kind}-mapper",
        "config": {
            "claim.name": claim,
            "jsonType.label": "String",
            **_EVERYWHERE,
            **{name.replace("_", "."): value for name, value in config.items()},
        },
    }


def _scope(name: str, *mappers: Json) -> Json:
    return {
        "name": name,
        "protocol": "openid-connect",
        "attributes": {"include.in.token.scope": "true"},
        "protocolMappers": list(mappers),
    }


def _list(claim: str, attribute: str) -> Json:
    mapper = _mapper(claim, multivalued="true")
    mapper["config"]["user.attribute"] = attribute
    return _scope(claim, mapper)


# If a realm file names any client scope, the realm loses Keycloak's built-in ones, among them `sub`. So it names these
# too.
_BUILT_IN = [
    _scope(
        "basic",
        _mapper("sub", "sub"),
        _mapper("auth_time", "usersessionmodel-note", user_session_note="AUTH_TIME", jsonType_label="long"),
    ),
    _scope(
        "profile",
        _mapper("name", "full-name"),
        _mapper("preferred_username", user_attribute="username"),
        _mapper("given_name", user_attribute="firstName"),
        _mapper("family_name", user_attribute="lastName"),
    ),
    _scope(
        "email",
        _mapper("email", user_attribute="email"),
        _mapper("email_verified", "usermodel-property", user_attribute="emailVerified", jsonType_label="boolean"),
    ),
    _scope("acr", _mapper("acr", "acr")),
]
_CLAIMS = [
    _scope("groups", _mapper("groups", "group-membership", full_path="true")),
    _scope("voperson_id", _mapper("voperson_id", user_attribute="voperson_id")),
    _list("eduperson_entitlement", "eduperson_entitlement"),
    _list("entitlements", "eduperson_entitlement"),
    _list("eduperson_scoped_affiliation", "eduperson_scoped_affiliation"),
]
_OFFLINE = [_scope("offline_access")]


def _client(name: str, **fields: Any) -> Json:
    audience = {
        "name": "audience",
        "protocol": "openid-connect",
        "protocolMapper": "oidc-audience-mapper",
        "config": {
            "included.custom.audience": "isthmus-api",
            "id.token.claim": "false",
            "access.token.claim": "true",
            "introspection.token.claim": "true",
        },
    }
    return {
        "clientId": name,
        "enabled": True,
        "protocol": "openid-connect",
        "publicClient": "secret" not in fields,
        "standardFlowEnabled": False,
        "directAccessGrantsEnabled": False,
        "fullScopeAllowed": True,
        "defaultClientScopes": [scope["name"] for scope in _BUILT_IN + _CLAIMS],
        "optionalClientScopes": [scope["name"] for scope in _OFFLINE],
        "protocolMappers": [audience],
        "attributes": {},
        **fields,
    }


def _clients() -> list[Json]:
    browser = _client(
        "isthmus",
        secret="${KEYCLOAK_CLIENT_SECRET}",  # noqa: S106  (a place holder)
        standardFlowEnabled=True,
        # Without a port: Keycloak takes any port of the loopback address.
        redirectUris=["http://127.0.0.1/*", "http://localhost/*", "${ISTHMUS_PUBLIC_URL}/*"],
        attributes={"pkce.code.challenge.method": "S256", "post.logout.redirect.uris": "+"},
    )
    command_line = _client(
        "isthmus-cli",
        directAccessGrantsEnabled=True,
        attributes={"oauth2.device.authorization.grant.enabled": "true"},
    )
    service = _client("isthmus-svc", secret="${KEYCLOAK_CLIENT_SECRET}", serviceAccountsEnabled=True)  # noqa: S106
    return [browser, command_line, service]


def _user(someone: Someone, *, realm: str, authority: str) -> Json:
    return {
        # A person has the same subject after every import.
        "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{someone.name}.{realm}")),
        "username": someone.name,
        "enabled": True,
        "email": someone.email,
        "emailVerified": True,
        "firstName": someone.given_name,
        "lastName": someone.family_name,
        "groups": list(someone.groups),
        "realmRoles": [f"default-roles-{realm}"],  # needed for offline tokens
        "credentials": [{"type": "password", "value": "${KEYCLOAK_PEOPLE_PASSWORD}", "temporary": False}],
        "attributes": {
            "eduperson_entitlement": list(someone.entitlements),
            "eduperson_scoped_affiliation": [someone.affiliation],
            "voperson_id": [f"{someone.name}-0123456789abcdef@{authority}"],
        },
    }


def _realm(name: str, people: tuple[Someone, ...], *, authority: str) -> Json:
    groups: list[Json] = [{"name": group, "subGroups": [{"name": "managers"}]} for group in COMMUNITIES.values()]
    return {
        "realm": name,
        "enabled": True,
        "sslRequired": "none",
        "accessTokenLifespan": 300,
        "clientScopes": _BUILT_IN + _CLAIMS + _OFFLINE,
        "groups": [*groups, {"name": "isthmus"}],
        "components": {"org.keycloak.userprofile.UserProfileProvider": [_profile()]},
        "clients": _clients(),
        "users": [_user(someone, realm=name, authority=authority) for someone in people],
    }


def _profile() -> Json:
    """Allow attributes that Keycloak does not know, such as entitlements."""
    permissions = {"view": ["admin", "user"], "edit": ["admin"]}
    profile = {
        "attributes": [
            {"name": name, "permissions": permissions} for name in ("username", "email", "firstName", "lastName")
        ],
        "unmanagedAttributePolicy": "ADMIN_EDIT",
    }
    return {"providerId": "declarative-user-profile", "config": {"kc.user.profile.config": [json.dumps(profile)]}}


if __name__ == "__main__":
    for name, text in documents().items():
        (FOLDER / name).write_text(text, encoding="utf-8")
