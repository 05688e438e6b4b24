"""Encryption at rest: AES-256-GCM, bound to the row it belongs to.

A sealed value is `key id (8 bytes) | nonce (12) | ciphertext and tag`. The associated data names the row (table,
column, tenant, key), so that a ciphertext moved to another row does not open. Keys come from ISTHMUS_ENCRYPTION_KEYS,
`id:base64` pairs: the first one seals, all of them open, which is how keys are rotated.
"""

from __future__ import annotations

import base64
import binascii
import os
from functools import cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

_ID, _NONCE = 8, 12


class Unsealable(Exception):
    """The value was sealed for another row or with a key that is not in the ring, or it was damaged."""


def seal(plain: bytes, *, bound_to: str) -> bytes:
    """Encrypt `plain` for the row that `bound_to` names."""
    ring = key_ring()
    key_id = next(iter(ring))
    nonce = os.urandom(_NONCE)
    return key_id + nonce + ring[key_id].encrypt(nonce, plain, bound_to.encode())


def unseal(sealed: bytes, *, bound_to: str) -> bytes:
    """Decrypt what `seal` made for the same row; `Unsealable` otherwise."""
    key_id, nonce, body = sealed[:_ID], sealed[_ID : _ID + _NONCE], sealed[_ID + _NONCE :]
    cipher = key_ring().get(key_id)
    if cipher is None:
        raise Unsealable("The key that sealed this value is not in ISTHMUS_ENCRYPTION_KEYS.")
    try:
        return cipher.decrypt(nonce, body, bound_to.encode())
    except InvalidTag as error:
        raise Unsealable("This value was sealed for another row, or it is damaged.") from error


def reseal(sealed: bytes, *, bound_to: str) -> bytes | None:
    """The same value under the first key of the ring; None where it is already. Raises `Unsealable`."""
    if sealed[:_ID] == next(iter(key_ring())):
        return None
    return seal(unseal(sealed, bound_to=bound_to), bound_to=bound_to)


@cache
def key_ring() -> dict[bytes, AESGCM]:
    """The keys by padded id, the sealing one first. Also called at start, so that a bad ring refuses it."""
    return dict(_parse(item) for item in settings.ENCRYPTION_KEYS)


def _parse(item: str) -> tuple[bytes, AESGCM]:
    name, _, encoded = item.partition(":")
    try:
        key = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        key = b""
    if not 0 < len(name.encode()) <= _ID or len(key) != 32:
        raise ImproperlyConfigured(
            "ISTHMUS_ENCRYPTION_KEYS must be a comma-separated list of id:key, the id at most 8 bytes, "
            "the key 32 random bytes in base64 (`openssl rand -base64 32`)."
        )
    return name.encode().ljust(_ID, b"\0"), AESGCM(key)
