"""Reads and checks the file of issuers. An error stops the start, with a sentence that names its place in the file.

docs/identity.md describes the format. Unknown keys are refused: a mistyped key could silently give or take rights.
"""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

import yaml
from django.core.exceptions import ImproperlyConfigured

from controlplane.auth.oidc.issuer import ANY, FIRST_PART, PROFILES, Give, Issuer, Rule

_ALIAS = re.compile(r"[a-z0-9-]{1,30}")
_SLUG = re.compile(r"[-a-zA-Z0-9_]{1,63}")
_NAMESPACE = re.compile(r"urn:[a-zA-Z0-9][a-zA-Z0-9-]+(:[A-Za-z0-9._~-]+)+")
#: Algorithms with public keys. With symmetric ones (HS*), everybody who can verify a signature can also forge one.
_ALGORITHMS = {"RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"}
_PATTERNS = ("group", "entitlement", "goc_role", "realm_role", "client_role")
_SECRETS = ("client_secret", "client_secret_file", "client_secret_env")
_IN_TENANT = {Give.MEMBER, Give.MANAGER}


def read_issuers(path: Path) -> tuple[Issuer, ...]:
    """Returns every issuer of the YAML file. Raises ImproperlyConfigured."""
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ImproperlyConfigured(f"ISTHMUS_ISSUERS names {path}, which cannot be read as YAML: {error}") from error
    top = Entry(found, str(path))
    entries = top.entries("issuers")
    top.end()
    issuers = tuple(_issuer(entry) for entry in entries)
    for name in ("alias", "issuer"):
        values = [getattr(each, name) for each in issuers]
        if twice := {value for value in values if values.count(value) > 1}:
            raise ImproperlyConfigured(f"{path}: two issuers have the {name} {min(twice)!r}.")
    return issuers


def is_safe(url: str) -> bool:
    """Returns whether nobody on the network can read requests to this URL: HTTPS, or plain HTTP to this host."""
    parts = urlsplit(url)
    return bool(parts.hostname) and (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(url)))


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        # Names in .localhost mean this host (RFC 6761); docker-compose.yml gives one to the container of the issuer.
        return host == "localhost" or host.endswith(".localhost") or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Entry:
    """A mapping of the file, whose keys are read one by one. where: its name in error messages.

    Every method raises ImproperlyConfigured for a wrong value.
    """

    def __init__(self, found: Any, where: str) -> None:
        self.where = where
        if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
            self.wrong("must be a mapping of names to values")
        self._left: dict[str, Any] = dict(found)

    def wrong(self, complaint: str) -> NoReturn:
        raise ImproperlyConfigured(f"{self.where} {complaint}; see docs/identity.md.")

    def has(self, key: str) -> bool:
        return key in self._left

    def text(self, key: str, *, default: str | None = None, pattern: re.Pattern[str] | None = None) -> str:
        value = self._left.pop(key, default)
        if not isinstance(value, str) or (default is None and not value):
            self.wrong(f"needs a text for `{key}`")
        if pattern and value and not pattern.fullmatch(value):
            self.wrong(f"has {value!r} for `{key}`, which does not match {pattern.pattern}")
        return value

    def texts(self, key: str, *, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        value = self._left.pop(key, list(default))
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            self.wrong(f"needs a list of texts for `{key}`")
        return tuple(value)

    def flag(self, key: str) -> bool:
        value = self._left.pop(key, False)
        if not isinstance(value, bool):
            self.wrong(f"needs true or false for `{key}`")
        return value

    def entries(self, key: str) -> list[Entry]:
        value = self._left.pop(key, [])
        if not isinstance(value, list):
            self.wrong(f"needs a list for `{key}`")
        return [Entry(each, f"{self.where}: {key}[{number}]") for number, each in enumerate(value)]

    def path(self, key: str) -> tuple[str, ...]:
        """Returns the parts of a group path, written as `vo:sub`, `/vo/sub`, `vo/sub`, or a list of the parts."""
        if isinstance(self._left.get(key), list):
            parts = self.texts(key)
        else:
            value = self.text(key)
            parts = tuple(value.removeprefix("/").split("/") if "/" in value else value.split(":"))
        if not parts or not all(parts) or any(part.startswith("role=") for part in parts):
            self.wrong(f"has no path of groups for `{key}`: every part needs a name, and `role` is a key of its own")
        return parts

    def end(self) -> None:
        """Raises ImproperlyConfigured if there is a key that was not read."""
        if self._left:
            self.wrong(f"has the unknown key `{min(self._left)}`")


def _issuer(entry: Entry) -> Issuer:
    alias = entry.text("alias", pattern=_ALIAS)
    entry.where = f"The issuer {alias!r}"
    profile = PROFILES.get(name := entry.text("profile"))
    if profile is None:
        entry.wrong(f"has the unknown `profile` {name!r} ({', '.join(PROFILES)})")
    namespaces = frozenset(entry.texts("namespaces", default=profile.namespaces))
    rules = tuple(_rule(each, namespaces) for each in entry.entries("rules"))
    issuer = Issuer(
        alias=alias,
        name=entry.text("name", default=alias),
        profile=profile,
        issuer=entry.text("issuer"),
        client_id=entry.text("client_id"),
        client_secret=_secret(entry),
        scopes=entry.texts("scopes", default=profile.scopes),
        namespaces=namespaces,
        algorithms=entry.texts("algorithms", default=("RS256",)),
        audiences=frozenset(entry.texts("audiences")),
        clients=frozenset(entry.texts("clients")),
        shared_clients=frozenset(entry.texts("shared_clients")),
        introspection=entry.flag("introspection"),
        leaves_out_empty=entry.flag("leaves_out_empty"),
        tenant=entry.text("tenant", default="", pattern=_SLUG),
        create_tenants=entry.texts("create_tenants"),
        rules=rules,
    )
    entry.end()
    _check(entry, issuer)
    return issuer


def _check(entry: Entry, issuer: Issuer) -> None:
    """Checks values that have the right type but are not allowed."""
    parts = urlsplit(issuer.issuer)
    if not is_safe(issuer.issuer) or parts.query or parts.fragment or len(issuer.issuer) > 200:
        entry.wrong(f"has {issuer.issuer!r} for `issuer`, which must be an https:// URL of at most 200 characters")
    if "openid" not in issuer.scopes:
        entry.wrong("needs `openid` among its `scopes`")
    if not issuer.algorithms or set(issuer.algorithms) - _ALGORITHMS:
        entry.wrong(f"may have only these for `algorithms`: {', '.join(sorted(_ALGORITHMS))}")
    if odd := [each for each in issuer.namespaces if not _NAMESPACE.fullmatch(each)]:
        entry.wrong(f"has {min(odd)!r} among its `namespaces`, which is not a URN without a trailing colon")
    names = [rule.name for rule in issuer.rules]
    if twice := {name for name in names if names.count(name) > 1}:
        entry.wrong(f"has two rules with the name {min(twice)!r}")


def _secret(entry: Entry) -> str:
    """Returns the client secret, which is in the file itself, in an environment variable, or in another file."""
    keys = [key for key in _SECRETS if entry.has(key)]
    if len(keys) != 1:
        entry.wrong(f"needs exactly one of {', '.join(f'`{key}`' for key in _SECRETS)}")
    value = entry.text(keys[0])
    if keys[0] == "client_secret_env":
        if not (secret := os.environ.get(value, "")):
            entry.wrong(f"names the variable {value} for `client_secret_env`, which is not set")
        return secret
    if keys[0] == "client_secret_file":
        try:
            return Path(value).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            entry.wrong(f"names a file for `client_secret_file` that cannot be read ({error})")
    return value


def _rule(entry: Entry, namespaces: frozenset[str]) -> Rule:
    name = entry.text("name")
    entry.where = f"{entry.where} ({name})"
    if len(name) > 200:
        entry.wrong("has a `name` of more than 200 characters")
    if len([key for key in _PATTERNS if entry.has(key)]) != 1:
        entry.wrong(f"needs exactly one of {', '.join(f'`{key}`' for key in _PATTERNS)}")
    give = entry.text("give")
    if give not in set(Give):
        entry.wrong(f"has {give!r} for `give` ({', '.join(Give)})")
    tenant = entry.text("tenant", default="")
    if tenant and tenant != FIRST_PART and not _SLUG.fullmatch(tenant):
        entry.wrong(f"has {tenant!r} for `tenant`, which is neither a slug nor {FIRST_PART!r}")
    rule = Rule(
        name=name,
        give=Give(give),
        group=entry.path("group") if entry.has("group") else (),
        role=entry.text("role") if entry.has("role") else "",
        entitlement=entry.text("entitlement", default=""),
        goc_role=entry.text("goc_role", default="").replace("+", " "),
        goc_site=entry.text("goc_site", default=""),
        realm_role=entry.text("realm_role", default=""),
        client_role=entry.text("client_role", default=""),
        tenant=tenant,
        site=entry.text("site", default="", pattern=_SLUG),
    )
    entry.end()
    _check_rule(entry, rule, namespaces)
    return rule


def _check_rule(entry: Entry, rule: Rule, namespaces: frozenset[str]) -> None:
    if bool(rule.tenant) != (rule.give in _IN_TENANT):
        entry.wrong(f"gives {rule.give}: `tenant` is only for {' and '.join(sorted(_IN_TENANT))}")
    if bool(rule.site) != (rule.give is Give.SITE_OPERATOR):
        entry.wrong(f"gives {rule.give}: `site` is only for site_operator")
    if rule.tenant == FIRST_PART and rule.group[:1] != (ANY,):
        entry.wrong(f"has `tenant` {FIRST_PART!r}, which needs a `group` that begins with {ANY!r}")
    if rule.role and not rule.group:
        entry.wrong("has a `role` without a `group`")
    if bool(rule.goc_role) != bool(rule.goc_site):
        entry.wrong("needs `goc_role` and `goc_site` together")
    if rule.entitlement and not any(rule.entitlement.startswith(f"{each}:") for each in namespaces):
        entry.wrong("has an `entitlement` in none of the issuer's `namespaces`, so it can never match")
