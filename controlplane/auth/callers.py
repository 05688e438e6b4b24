"""From the text of a bearer token to who calls, with a memory of a few seconds.

The look-up itself is passed in: Django's views ask through Django's connection, /status through a pool of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from django.conf import settings

from controlplane.auth import tokens
from controlplane.errors import Forbidden, Unauthenticated

#: One row per token; `FoundToken` names its columns. One parameter: the digest.
BY_DIGEST = """
    SELECT token.id, extract(epoch FROM token.expires_at)::float8, token.revoked_at IS NOT NULL, tenant.enabled,
           node.id, node.tenant_id, node.slug
    FROM tenants_apitoken AS token
    JOIN tenants_virtualnode AS node ON node.id = token.node_id
    JOIN tenants_tenant AS tenant ON tenant.id = node.tenant_id
    WHERE token.digest = %s
"""
#: Beyond this many verified tokens in a process the memory starts anew: that costs one query each, and bounds it.
_REMEMBERED_AT_MOST = 20_000


class FoundToken(NamedTuple):
    """What BY_DIGEST answers. expires_at: epoch seconds."""

    token_id: int
    expires_at: float
    is_revoked: bool
    tenant_enabled: bool
    node_id: int
    tenant_id: int
    slug: str


@dataclass(frozen=True)
class NodeCaller:
    """A virtual node that has shown a good token: DRF's `request.user` on the wire."""

    node_id: int
    tenant_id: int
    slug: str
    token_id: int

    is_authenticated: ClassVar[bool] = True

    def must_be(self, slug: str | None) -> None:
        """Path and credential agree: `slug` is the virtual node of /vk/<slug>/, None at the root. Else Forbidden."""
        if slug is not None and slug != self.slug:
            raise Forbidden(f"This token belongs to the virtual node {self.slug}: call /vk/{self.slug}/ with it.")


Find = Callable[[bytes], FoundToken | None]


def bearer(header: str) -> str:
    """The token in an Authorization header; Unauthenticated where there is none."""
    scheme, _, text = header.partition(" ")
    text = text.strip()
    if scheme.lower() != "bearer" or not text:
        raise Unauthenticated("Send the virtual node's token in the header `Authorization: Bearer <token>`.")
    return text


class TokenMemory:
    """Tokens verified less than TOKEN_MEMORY seconds ago, so that a revocation acts within that time."""

    def __init__(self) -> None:
        self._callers: dict[bytes, tuple[float, NodeCaller]] = {}

    def caller(self, text: str, *, find: Find) -> NodeCaller:
        """Who shows this token. Raises Unauthenticated, and whatever `find` raises."""
        digest = tokens.digest(text)
        until, caller = self._callers.get(digest, (0.0, None))
        if caller is not None and time.monotonic() < until:
            return caller
        if not tokens.is_well_formed(text):
            raise Unauthenticated("This is no token of ours: it is mistyped or cut short.")
        self._callers.pop(digest, None)
        found = _checked(find(digest))
        caller = NodeCaller(found.node_id, found.tenant_id, found.slug, found.token_id)
        self._remember(digest, caller, found.expires_at)
        return caller

    def forget(self) -> None:
        """Forget everything: the next calls ask again."""
        self._callers.clear()

    def _remember(self, digest: bytes, caller: NodeCaller, expires_at: float) -> None:
        if len(self._callers) >= _REMEMBERED_AT_MOST:
            self._callers.clear()
        remembered_for = min(settings.TOKEN_MEMORY, expires_at - time.time())
        self._callers[digest] = (time.monotonic() + remembered_for, caller)


#: The one of this process.
memory = TokenMemory()


def _checked(found: FoundToken | None) -> FoundToken:
    if found is None:
        raise Unauthenticated("This token is not known here.")
    if found.is_revoked:
        raise Unauthenticated("This token was revoked: ask your federation operator for a new one.")
    if found.expires_at <= time.time():
        raise Unauthenticated("This token has expired: ask your federation operator for a new one.")
    if not found.tenant_enabled:
        raise Unauthenticated("The tenant of this token is disabled: ask your federation operator.")
    return found
