"""The format of our tokens: a prefix for the kind, 30 random base62 characters, and their CRC32 in 6 base62 characters.

Secret scanners can find this format. The checksum detects a typing error without a query. The database stores only the
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
    """Returns a new token of this kind, with 178 random bits."""
    random = "".join(secrets.choice(_ALPHABET) for _ in range(_RANDOM))
    return PREFIXES[kind] + random + _checksum(random)


def is_ours(text: str) -> bool:
    """Returns whether the text has a prefix of ours; other tokens come from identity providers."""
    return text[:_PREFIX] in _KINDS


def kind_of(text: str) -> ApiToken.Kind | None:
    """Returns the kind that the prefix names, None if the prefix is not ours."""
    return _KINDS.get(text[:_PREFIX])


def is_well_formed(text: str) -> bool:
    """Returns whether prefix, length and checksum are right; checked before any query."""
    if len(text) != _LENGTH or not is_ours(text):
        return False
    random = text[_PREFIX:-_CHECK]
    return text.isascii() and secrets.compare_digest(text[-_CHECK:], _checksum(random))


def digest(text: str) -> bytes:
    """Returns the SHA-256 that is stored of a token. With 178 random bits, no slow password hash is needed."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).digest()


def _checksum(random: str) -> str:
    """Returns the CRC32 as six base62 digits, enough for the largest value."""
    rest, digits = zlib.crc32(random.encode()), ""
    for _ in range(_CHECK):
        rest, place = divmod(rest, len(_ALPHABET))
        digits = _ALPHABET[place] + digits
    return digits
