"""Reading JSON whose shape nobody promised: each reader returns its type or raises BadRequest naming the place.

Absent and null mean the same in Kubernetes, so both give the type's empty value.
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
    """Text that becomes a file: any character, NUL included, as UTF-8."""
    if value is None:
        return b""
    if not isinstance(value, str):
        raise BadRequest(f"{place} must be a string.")
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"{place} holds half a surrogate pair, which is no character.") from None


def text(value: object, place: str) -> str:
    """Text that becomes an argument, a variable or a path: anything but NUL."""
    encoded = content(value, place)
    if b"\0" in encoded:
        raise BadRequest(f"{place} holds a NUL character, which no program can be given.")
    return encoded.decode()


def texts(value: object, place: str) -> tuple[str, ...]:
    return tuple(text(item, f"{place}[{index}]") for index, item in enumerate(sequence(value, place)))


def flag(value: object, place: str) -> bool:
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
    name = text(value, place)
    if not DNS_LABEL.fullmatch(name):
        raise BadRequest(f"{place} must be 1 to 63 lower-case letters, digits and inner dashes.")
    return name


def dns_subdomain(value: object, place: str) -> str:
    name = text(value, place)
    if not DNS_SUBDOMAIN.fullmatch(name):
        raise BadRequest(f"{place} must be 1 to 253 lower-case letters, digits, inner dashes and dots.")
    return name
