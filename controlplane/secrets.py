"""Encrypts stored values with AES-256-GCM and binds each to its database row.

A sealed value is `key id (8 bytes) | nonce (12) | ciphertext and tag`. The associated data names the row (table,
column, tenant, key), so a ciphertext that is copied to another row cannot be decrypted. Keys come from
ISTHMUS_ENCRYPTION_KEYS, a list of `id:base64`: the first key encrypts, all keys decrypt. To rotate keys, put a new one
first.
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
    """The value was sealed for another row, or its key is not in the key ring, or it is damaged."""


def seal(plain: bytes, *, bound_to: str) -> bytes:
    """Encrypts `plain` for the row that `bound_to` names, with the first key of the ring."""
    ring = key_ring()
    key_id = next(iter(ring))
    nonce = os.urandom(_NONCE)
    return key_id + nonce + ring[key_id].encrypt(nonce, plain, bound_to.encode())


def unseal(sealed: bytes, *, bound_to: str) -> bytes:
    """Decrypts a value that `seal` made for the same row. Raises `Unsealable`."""
    key_id, nonce, body = sealed[:_ID], sealed[_ID : _ID + _NONCE], sealed[_ID + _NONCE :]
    cipher = key_ring().get(key_id)
    if cipher is None:
        raise Unsealable("The key that sealed this value is not in ISTHMUS_ENCRYPTION_KEYS.")
    try:
        return cipher.decrypt(nonce, body, bound_to.encode())
    except InvalidTag as error:
        raise Unsealable("This value was sealed for another row, or it is damaged.") from error


def reseal(sealed: bytes, *, bound_to: str) -> bytes | None:
    """Encrypts a sealed value again with the first key of the ring; None if it has that key. Raises `Unsealable`."""
    if sealed[:_ID] == next(iter(key_ring())):
        return None
    return seal(unseal(sealed, bound_to=bound_to), bound_to=bound_to)


@cache
def key_ring() -> dict[bytes, AESGCM]:
    """Returns {id, padded to 8 bytes: key}, the encrypting key first. Raises ImproperlyConfigured, also at start."""
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
