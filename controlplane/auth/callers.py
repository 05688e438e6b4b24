"""Finds the caller of one of our own tokens, and remembers it for a few seconds.

The look-up is passed in as a function: views use Django's connection, /status uses its own pool. Tokens of identity
providers are read in `oidc/bearer_tokens.py`.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from django.conf import settings

from controlplane.audit.actors import Actor
from controlplane.auth import token_format
from controlplane.auth.rights import Rights
from controlplane.errors import Forbidden, InvalidToken, Unauthenticated
from controlplane.remembered import Remembered
from controlplane.tenants.models import ApiToken

#: Returns one row at most, with the columns of `FoundToken`. Parameter: the token's digest. The SQL function bypasses
#: row security, because the caller is not known yet (controlplane/tenants/migrations).
BY_DIGEST = "SELECT * FROM isthmus_token(%s)"


class FoundToken(NamedTuple):
    """A row of BY_DIGEST. expires_at: epoch seconds. in_force: neither the owner nor the tenant is disabled.

    slug: the node's slug. scopes: separated by spaces.
    """

    token_id: int
    kind: str
    expires_at: float
    is_revoked: bool
    in_force: bool
    node_id: int | None
    tenant_id: int | None
    slug: str
    person_id: int | None
    service_id: int | None
    scopes: str


@dataclass(frozen=True)
class Caller(ABC):
    """The sender of a request with a valid credential; DRF's `request.user`."""

    is_authenticated: ClassVar[bool] = True

    @property
    @abstractmethod
    def actor(self) -> Actor:
        """The caller as the audit trail names it."""


@dataclass(frozen=True)
class NodeCaller(Caller):
    """A virtual node."""

    node_id: int
    tenant_id: int
    slug: str
    token_id: int

    def must_be(self, slug: str | None) -> None:
        """Raises Forbidden unless the token is of the path's node. slug: from /vk/<slug>/, None at the root."""
        if slug is not None and slug != self.slug:
            raise Forbidden(f"This token belongs to the virtual node {self.slug}: call /vk/{self.slug}/ with it.")

    @property
    def actor(self) -> Actor:
        return Actor("node", self.node_id, self.slug, self.token_id)


@dataclass(frozen=True)
class PersonCaller(Caller):
    """A person, by login, by a personal token, or by a token of their issuer. token_id: only for personal tokens."""

    service_id: ClassVar[None] = None
    person_id: int
    name: str
    rights: Rights = field(default_factory=Rights)
    token_id: int | None = None

    @property
    def actor(self) -> Actor:
        return Actor("person", self.person_id, self.name, self.token_id)


@dataclass(frozen=True)
class ServiceCaller(Caller):
    """A program, with a service account's token or a capability token of an issuer. service_id: only for the former."""

    person_id: ClassVar[None] = None
    tenant_id: int
    name: str
    rights: Rights = field(default_factory=Rights)
    service_id: int | None = None
    token_id: int | None = None

    @property
    def actor(self) -> Actor:
        return Actor("service", self.service_id, self.name, self.token_id)


def node_of(found: FoundToken) -> NodeCaller:
    """Returns the virtual node that owns the token. Raises Forbidden for any other kind of token."""
    if found.kind != ApiToken.Kind.NODE or found.node_id is None or found.tenant_id is None:
        raise Forbidden("Only a virtual node's token is taken here.")
    return NodeCaller(found.node_id, found.tenant_id, found.slug, found.token_id)


Find = Callable[[bytes], FoundToken | None]


def bearer(header: str) -> str:
    """Returns the token of an Authorization header. Raises Unauthenticated if it is not `Bearer <token>`."""
    scheme, _, text = header.partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        raise Unauthenticated("Send a token in the header `Authorization: Bearer <token>`.")
    return text


class _Known(NamedTuple):
    """What is remembered of a valid token. node: its virtual node, None for other kinds."""

    found: FoundToken
    node: NodeCaller | None


class TokenMemory:
    """Remembers our valid tokens for TOKEN_MEMORY seconds; so a revocation takes effect within that time."""

    def __init__(self) -> None:
        self._known: Remembered[bytes, _Known] = Remembered(at_most=20_000)

    def caller(self, text: str, *, find: Find) -> NodeCaller:
        """Returns the virtual node that owns this token. Raises InvalidToken, Forbidden, and what `find` raises."""
        digest = token_format.digest(text)
        known = self._known.get(digest) or self._verified(digest, text, find=find)
        return known.node or node_of(known.found)  # node_of raises Forbidden with the reason

    def found(self, text: str, *, find: Find) -> FoundToken:
        """Returns the row of a valid token of any kind. Raises InvalidToken, and what `find` raises."""
        digest = token_format.digest(text)
        known = self._known.get(digest) or self._verified(digest, text, find=find)
        return known.found

    def _verified(self, digest: bytes, text: str, *, find: Find) -> _Known:
        if token_format.kind_of(text) is ApiToken.Kind.CLIENT:
            raise InvalidToken("A client secret is only for the token endpoint: get a token at /oauth2/token.")
        found = checked(text, find=find)
        known = _Known(found, node_of(found) if found.kind == ApiToken.Kind.NODE else None)
        self._known.put(digest, known, seconds=min(settings.TOKEN_MEMORY, found.expires_at - time.time()))
        return known


#: The memory of this process.
memory = TokenMemory()


def checked(text: str, *, find: Find) -> FoundToken:
    """Looks up a token of any kind, not in the memory. Raises InvalidToken if it is bad, and what `find` raises."""
    if not token_format.is_well_formed(text):
        raise InvalidToken("Not a token of Isthmus: it is mistyped or cut short.")
    found = find(token_format.digest(text))
    if found is None:
        raise InvalidToken("This token is not known here.")
    if found.is_revoked:
        raise InvalidToken("This token was revoked: ask the person who gave it to you for a new one.")
    if found.expires_at <= time.time():
        raise InvalidToken("This token has expired: ask for a new one.")
    if not found.in_force:
        raise InvalidToken("The owner of this token, or the tenant, is disabled: ask your federation operator.")
    return found
