"""Encryption at rest: a sealed value opens only for its own row, with any key of the ring."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from controlplane import secrets

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _fresh_ring() -> Iterator[None]:
    secrets.key_ring.cache_clear()
    yield
    secrets.key_ring.cache_clear()


def key(letter: str) -> str:
    return f"{letter}:{base64.b64encode(letter.encode() * 32).decode()}"


def test_a_value_sealed_for_a_row_opens_for_that_row() -> None:
    sealed = secrets.seal(b"s3cret", bound_to="table:1:a")
    assert b"s3cret" not in sealed
    assert secrets.unseal(sealed, bound_to="table:1:a") == b"s3cret"


def test_the_same_text_is_never_sealed_the_same_way_twice() -> None:
    assert secrets.seal(b"x", bound_to="r") != secrets.seal(b"x", bound_to="r")


def test_a_value_moved_to_another_row_does_not_open() -> None:
    sealed = secrets.seal(b"x", bound_to="table:1:a")
    with pytest.raises(secrets.Unsealable):
        secrets.unseal(sealed, bound_to="table:2:a")


@pytest.mark.parametrize("place", [0, 8, 20, -1])
def test_a_damaged_value_does_not_open(place: int) -> None:
    damaged = bytearray(secrets.seal(b"x", bound_to="r"))
    damaged[place] ^= 1
    with pytest.raises(secrets.Unsealable):
        secrets.unseal(bytes(damaged), bound_to="r")


@pytest.mark.parametrize("value", [b"", b"short"])
def test_a_text_too_short_to_be_sealed_does_not_open(value: bytes) -> None:
    with pytest.raises(secrets.Unsealable):
        secrets.unseal(value, bound_to="r")


def test_keys_are_rotated_by_putting_a_new_one_first(settings: Any) -> None:
    settings.ENCRYPTION_KEYS = [key("a")]
    old = secrets.seal(b"x", bound_to="r")
    secrets.key_ring.cache_clear()
    settings.ENCRYPTION_KEYS = [key("b"), key("a")]
    new = secrets.seal(b"x", bound_to="r")
    assert (old[:1], new[:1]) == (b"a", b"b")
    assert secrets.unseal(old, bound_to="r") == secrets.unseal(new, bound_to="r") == b"x"


@pytest.mark.parametrize("bad", ["a", "a:", "a:AAAA", "a:!!", ":" + "A" * 43 + "=", "much-too-long:" + "A" * 43 + "="])
def test_a_bad_key_stops_the_start_with_advice(settings: Any, bad: str) -> None:
    settings.ENCRYPTION_KEYS = [bad]
    with pytest.raises(ImproperlyConfigured, match="openssl rand"):
        secrets.key_ring()
