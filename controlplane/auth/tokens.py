"""Our own tokens: `isn_`, 30 random base62 characters, and a CRC32 of those in 6 more.

The shape is one that secret scanners find, and the checksum lets a typing error cost no query. A token is shown once,
by `mint`; the row keeps its SHA-256.
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
    from controlplane.tenants.models import VirtualNode

PREFIX = "isn_"
LIFETIME = timedelta(days=365)
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_RANDOM, _CHECK = 30, 6
_LENGTH = len(PREFIX) + _RANDOM + _CHECK
_HINT = 8  # the prefix and four characters: enough to tell one's tokens apart, of no use to anybody else


def mint(node: VirtualNode, *, label: str = "", lifetime: timedelta = LIFETIME) -> tuple[ApiToken, str]:
    """A new token of a virtual node: its row, and the text, which cannot be had again. It ends with no newline."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    text = PREFIX + random + _checksum(random)
    now = timezone.now()
    row = ApiToken.objects.create(
        node=node,
        label=label,
        digest=digest(text),
        hint=text[:_HINT],
        created_at=now,
        expires_at=now + lifetime,
    )
    return row, text


def is_well_formed(text: str) -> bool:
    """Whether `text` can be one of our tokens at all; asked before any query."""
    if len(text) != _LENGTH or not text.startswith(PREFIX):
        return False
    random = text[len(PREFIX) : -_CHECK]
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
