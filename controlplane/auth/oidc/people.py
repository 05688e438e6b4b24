"""Creates and updates people from an issuer's claims. A person is identified by (issuer, subject)."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from django.contrib.auth.hashers import make_password

from controlplane.audit import trail
from controlplane.tenants.models import Person

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.auth.oidc.issuer import Issuer

_NAMES = ("name", "preferred_username", "azp", "client_id")


def arrive(issuer: Issuer, subject: str, claims: Mapping[str, Any]) -> Person:
    """Returns the person, and creates them if they are new, in the caller's transaction."""
    person, is_new = Person.objects.get_or_create(
        issuer=issuer.issuer,
        subject=subject,
        defaults={
            "username": username(issuer.issuer, subject),
            "password": make_password(None),  # no password matches it
            "name": _name(claims),
            "email": _email(claims),
        },
    )
    if is_new:
        trail.record("person.create", "person", person.pk, changes={"issuer": issuer.issuer, "subject": subject})
    return person


def update(person: Person, claims: Mapping[str, Any]) -> None:
    """Updates name and e-mail address from the claims, if they are there, in the caller's transaction."""
    before = trail.snapshot(person)
    person.name, person.email = _name(claims) or person.name, _email(claims) or person.email
    if changes := trail.difference(before, trail.snapshot(person)):
        person.save(update_fields=["name", "email"])
        trail.record("person.change", "person", person.pk, changes=changes)


def username(issuer: str, subject: str) -> str:
    """Returns the Django username, a hash that fits its column. It is never shown or compared with issuers' names."""
    return hashlib.sha256(f"{issuer}\n{subject}".encode()).hexdigest()[:32]


def _name(claims: Mapping[str, Any]) -> str:
    found = (claims.get(name) for name in _NAMES)
    return next((_clean(each)[:200] for each in found if isinstance(each, str) and _clean(each)), "")


def _email(claims: Mapping[str, Any]) -> str:
    """Returns the e-mail address, which is only shown; it never identifies a person."""
    value = claims.get("email")
    return _clean(value) if isinstance(value, str) and len(value) <= 254 else ""


def _clean(text: str) -> str:
    return "".join(each for each in text if each.isprintable()).strip()
