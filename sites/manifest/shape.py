"""Checks the types of JSON values that come from outside. Each function returns its type or raises BadRequest.

place: the value's place in the body, for the message. A missing value and null mean the same in Kubernetes: both give
the type's empty value, and None for a number.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from controlplane.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
DNS_SUBDOMAIN = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")


def mapping(value: object, place: str) -> Mapping[str, object]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequest(f"{place} must be an object.")
    return value


def sequence(value: object, place: str) -> Sequence[object]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise BadRequest(f"{place} must be a list.")
    return value


def mappings(value: object, place: str) -> list[Mapping[str, object]]:
    return [mapping(item, f"{place}[{index}]") for index, item in enumerate(sequence(value, place))]


def content(value: object, place: str) -> bytes:
    """Return text that becomes a file, as UTF-8. It may hold any character, NUL included."""
    if value is None:
        return b""
    if not isinstance(value, str):
        raise BadRequest(f"{place} must be a string.")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"{place} holds half a surrogate pair, which is not a character.") from None


def string(value: object, place: str) -> str:
    """Return text that becomes an argument, a variable or a path. It may hold any character but NUL."""
    encoded = content(value, place)
    if b"\0" in encoded:
        raise BadRequest(f"{place} holds a NUL character, which no program can receive.")
    return encoded.decode()


def strings(value: object, place: str) -> tuple[str, ...]:
    return tuple(string(item, f"{place}[{index}]") for index, item in enumerate(sequence(value, place)))


def boolean(value: object, place: str) -> bool:
    if value is None:
        return False
    if not isinstance(value, bool):
        raise BadRequest(f"{place} must be true or false.")
    return value


def whole_number(value: object, place: str) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadRequest(f"{place} must be a whole number.")
    return value


def dns_label(value: object, place: str) -> str:
    name = string(value, place)
    if not DNS_LABEL.fullmatch(name):
        raise BadRequest(f"{place} must be 1 to 63 lower-case letters, digits and inner dashes.")
    return name


def dns_subdomain(value: object, place: str) -> str:
    name = string(value, place)
    if not DNS_SUBDOMAIN.fullmatch(name):
        raise BadRequest(f"{place} must be 1 to 253 lower-case letters, digits, inner dashes and dots.")
    return name
