"""From the text of one of our own tokens to who calls, with a memory of a few seconds.

The look-up itself is passed in: Django's views ask through Django's connection, /status through a pool of its own. What
others issued is read in `oidc/bearer_tokens.py`.
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

#: One row per token; `FoundToken` names its columns. One parameter: the digest. The function reads past row security,
#: since nobody is known yet whose rows might be seen (controlplane/tenants/migrations).
BY_DIGEST = "SELECT * FROM isthmus_token(%s)"


class FoundToken(NamedTuple):
    """What BY_DIGEST answers. expires_at: epoch seconds; in_force: neither its owner nor its tenant is disabled.

    slug: the node's. scopes: joined by blanks.
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
    """Whoever has shown a good credential: DRF's `request.user`."""

    is_authenticated: ClassVar[bool] = True

    @property
    @abstractmethod
    def actor(self) -> Actor:
        """As the audit trail names it."""


@dataclass(frozen=True)
class NodeCaller(Caller):
    """A virtual node."""

    node_id: int
    tenant_id: int
    slug: str
    token_id: int

    def must_be(self, slug: str | None) -> None:
        """Path and credential agree: `slug` is the virtual node of /vk/<slug>/, None at the root. Else Forbidden."""
        if slug is not None and slug != self.slug:
            raise Forbidden(f"This token belongs to the virtual node {self.slug}: call /vk/{self.slug}/ with it.")

    @property
    def actor(self) -> Actor:
        return Actor("node", self.node_id, self.slug, self.token_id)


@dataclass(frozen=True)
class PersonCaller(Caller):
    """Someone who has logged in, or shows a token of theirs: ours, or their issuer's (which has no token_id)."""

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
    """A program with a service account, or with a capability token of its tenant's issuer (which has no service_id)."""

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
    """The virtual node whose token it is; Forbidden where it is nobody's."""
    if found.kind != ApiToken.Kind.NODE or found.node_id is None or found.tenant_id is None:
        raise Forbidden("Only a virtual node's token is taken here.")
    return NodeCaller(found.node_id, found.tenant_id, found.slug, found.token_id)


Find = Callable[[bytes], FoundToken | None]


def bearer(header: str) -> str:
    """The token in an Authorization header; Unauthenticated where there is none."""
    scheme, _, text = header.partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        raise Unauthenticated("Send a token in the header `Authorization: Bearer <token>`.")
    return text


class _Known(NamedTuple):
    """What is remembered of a good token. node: the virtual node whose it is, None where it is no node's."""

    found: FoundToken
    node: NodeCaller | None


class TokenMemory:
    """Our own tokens verified less than TOKEN_MEMORY seconds ago, so that a revocation acts within that time."""

    def __init__(self) -> None:
        self._known: Remembered[bytes, _Known] = Remembered(at_most=20_000)

    def caller(self, text: str, *, find: Find) -> NodeCaller:
        """The virtual node that shows this token. Raises InvalidToken, Forbidden, and whatever `find` raises."""
        digest = token_format.digest(text)
        known = self._known.get(digest) or self._verified(digest, text, find=find)
        return known.node or node_of(known.found)  # which says why it is no node's

    def found(self, text: str, *, find: Find) -> FoundToken:
        """What is on record of a token of ours that is good now. Raises InvalidToken, and whatever `find` raises."""
        digest = token_format.digest(text)
        known = self._known.get(digest) or self._verified(digest, text, find=find)
        return known.found

    def _verified(self, digest: bytes, text: str, *, find: Find) -> _Known:
        if token_format.kind_of(text) is ApiToken.Kind.CLIENT:
            raise InvalidToken("A client secret is good for the token endpoint alone: get a token at /oauth2/token.")
        found = checked(text, find=find)
        known = _Known(found, node_of(found) if found.kind == ApiToken.Kind.NODE else None)
        self._known.put(digest, known, seconds=min(settings.TOKEN_MEMORY, found.expires_at - time.time()))
        return known


#: The one of this process.
memory = TokenMemory()


def checked(text: str, *, find: Find) -> FoundToken:
    """What is on record of a token of ours, of any kind, asked now. Raises InvalidToken, and whatever `find` raises."""
    if not token_format.is_well_formed(text):
        raise InvalidToken("This is no token of ours: it is mistyped or cut short.")
    found = find(token_format.digest(text))
    if found is None:
        raise InvalidToken("This token is not known here.")
    if found.is_revoked:
        raise InvalidToken("This token was revoked: ask whoever gave it to you for a new one.")
    if found.expires_at <= time.time():
        raise InvalidToken("This token has expired: ask for a new one.")
    if not found.in_force:
        raise InvalidToken("The owner of this token, or the tenant, is disabled: ask your federation operator.")
    return found
