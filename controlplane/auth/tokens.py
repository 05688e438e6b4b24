"""Our own tokens: a prefix for their kind, 30 random base62 characters, and a CRC32 of those in 6 more.

The shape is one that secret scanners find, and the checksum lets a typing error cost no query. A token is shown once,
by whoever mints it; the row keeps its SHA-256.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib
from datetime import timedelta
from typing import TYPE_CHECKING

from django.utils import timezone

from controlplane.tenants.models import ApiToken

if TYPE_CHECKING:
    from collections.abc import Iterable

    from controlplane.tenants.models import Person, ServiceAccount, Tenant, VirtualNode

PREFIXES = {
    ApiToken.Kind.NODE: "isn_",
    ApiToken.Kind.CLIENT: "isc_",
    ApiToken.Kind.PERSONAL: "isp_",
    ApiToken.Kind.SERVICE: "iss_",
}
LIFETIME = timedelta(days=365)
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PREFIX, _RANDOM, _CHECK = 4, 30, 6
_LENGTH = _PREFIX + _RANDOM + _CHECK
_HINT = 8  # the prefix and four characters: enough to tell one's tokens apart, of no use to anybody else


def mint(
    node: VirtualNode,
    *,
    kind: ApiToken.Kind = ApiToken.Kind.NODE,
    label: str = "",
    lifetime: timedelta = LIFETIME,
    automatic: bool = False,
) -> tuple[ApiToken, str]:
    """A new token of a virtual node, or its client secret: the row, and the text, which cannot be had again.

    The text ends with no newline: a kubelet's HTTP library refuses the header otherwise.
    """
    return _mint(
        ApiToken(kind=kind, node=node, tenant_id=node.tenant_id, label=label, automatic=automatic), lifetime=lifetime
    )


def mint_personal(
    person: Person, *, scopes: Iterable[str], tenant: Tenant | None = None, label: str = "", lifetime: timedelta
) -> tuple[ApiToken, str]:
    """A new token of a person, confined to one tenant perhaps."""
    row = ApiToken(kind=ApiToken.Kind.PERSONAL, person=person, tenant=tenant, scopes=sorted(set(scopes)), label=label)
    return _mint(row, lifetime=lifetime)


def mint_service(
    service: ServiceAccount, *, scopes: Iterable[str], label: str = "", lifetime: timedelta
) -> tuple[ApiToken, str]:
    """A new token of a service account."""
    row = ApiToken(
        kind=ApiToken.Kind.SERVICE,
        service=service,
        tenant_id=service.tenant_id,
        scopes=sorted(set(scopes)),
        label=label,
    )
    return _mint(row, lifetime=lifetime)


def _mint(row: ApiToken, *, lifetime: timedelta) -> tuple[ApiToken, str]:
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    text = PREFIXES[ApiToken.Kind(row.kind)] + random + _checksum(random)
    row.digest, row.hint = digest(text), text[:_HINT]
    row.created_at = timezone.now()
    row.expires_at = row.created_at + lifetime
    row.save(force_insert=True)
    return row, text


def is_ours(text: str) -> bool:
    """Whether it claims to be one of ours; what others issued goes another way."""
    return text[:_PREFIX] in PREFIXES.values()


def is_well_formed(text: str) -> bool:
    """Whether `text` can be one of our tokens at all; asked before any query."""
    if len(text) != _LENGTH or not is_ours(text):
        return False
    random = text[_PREFIX:-_CHECK]
    return text.isascii() and secrets.compare_digest(text[-_CHECK:], _checksum(random))


def digest(text: str) -> bytes:
    """What is stored of a token. Its 178 random bits need no slow hash."""
    return hashlib.sha256(text.encode()).digest()


def _checksum(random: str) -> str:
    """CRC32 in base62, six digits, as many as the largest one needs."""
    rest, digits = zlib.crc32(random.encode()), ""
    for _ in range(_CHECK):
        rest, place = divmod(rest, len(_ALPHABET))
        digits = _ALPHABET[place] + digits
    return digits
