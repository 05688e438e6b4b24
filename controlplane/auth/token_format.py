"""The text of a token of ours: a prefix for its kind, 30 random base62 characters, and a CRC32 of those in 6 more.

The shape is one that secret scanners find, and the checksum lets a typing error cost no query. The row keeps its
SHA-256.
"""

from __future__ import annotations

import hashlib
import secrets
import string
import zlib

from controlplane.tenants.models import ApiToken

PREFIXES = {
    ApiToken.Kind.NODE: "isn_",
    ApiToken.Kind.CLIENT: "isc_",
    ApiToken.Kind.PERSONAL: "isp_",
    ApiToken.Kind.SERVICE: "iss_",
}
_KINDS = {prefix: kind for kind, prefix in PREFIXES.items()}
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PREFIX, _RANDOM, _CHECK = 4, 30, 6
_LENGTH = _PREFIX + _RANDOM + _CHECK


def generate(kind: ApiToken.Kind) -> str:
    """A new token of this kind, from 178 random bits."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return PREFIXES[kind] + random + _checksum(random)


def is_ours(text: str) -> bool:
    """Whether it claims to be one of ours; what others issued goes another way."""
    return text[:_PREFIX] in _KINDS


def kind_of(text: str) -> ApiToken.Kind | None:
    """The kind that it claims to be of, None where it is none of ours."""
    return _KINDS.get(text[:_PREFIX])


def is_well_formed(text: str) -> bool:
    """Whether `text` can be one of our tokens at all; asked before any query."""
    if len(text) != _LENGTH or not is_ours(text):
        return False
    random = text[_PREFIX:-_CHECK]
    return text.isascii() and secrets.compare_digest(text[-_CHECK:], _checksum(random))


def digest(text: str) -> bytes:
    """What is stored of a token. Its 178 random bits need no slow hash."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _checksum(random: str) -> str:
    """CRC32 in base62, six digits, as many as the largest one needs."""
    rest, digits = zlib.crc32(random.encode()), ""
    for _ in range(_CHECK):
        rest, place = divmod(rest, len(_ALPHABET))
        digits = _ALPHABET[place] + digits
    return digits
