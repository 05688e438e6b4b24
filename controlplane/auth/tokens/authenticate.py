"""Authenticates callers by our own tokens.

A node's token needs only the look-up that `callers.memory` remembers. The rights of a person or a service account are
read at each request, so that a removal takes effect at once; the token's scopes and tenant limit them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import connection

from controlplane.auth import callers, token_format
from controlplane.auth.callers import BY_DIGEST, FoundToken, PersonCaller, ServiceCaller
from controlplane.auth.rights import Held, Rights, rights_of
from controlplane.auth.roles import Role
from controlplane.auth.tokens import last_use
from controlplane.errors import InvalidToken
from controlplane.tenants.models import ApiToken, Person, ServiceAccount
from controlplane.tenants.scope import seeing

if TYPE_CHECKING:
    from datetime import datetime

    from controlplane.auth.callers import NodeCaller

_DISABLED = "The owner of this token is disabled: ask your federation operator."


def find_token(digest: bytes) -> FoundToken | None:
    """Returns the token with this SHA-256, None if there is none. /status has its own look-up."""
    with connection.cursor() as cursor:
        cursor.execute(BY_DIGEST, [digest])
        row = cursor.fetchone()
    return None if row is None else FoundToken(*row)


def caller(text: str, *, now: datetime) -> NodeCaller | PersonCaller | ServiceCaller:
    """Returns the caller that this token authenticates. Raises InvalidToken, and the database's errors."""
    if token_format.kind_of(text) is ApiToken.Kind.NODE:
        return callers.memory.caller(text, find=find_token)
    return _owner(callers.memory.found(text, find=find_token), now=now)


def owner_again(text: str, *, now: datetime) -> PersonCaller | ServiceCaller:
    """Checks the caller of a long-running request again. Its token may have expired, but not been revoked.

    Raises InvalidToken.
    """
    return _owner(_not_revoked(text), now=now)


def node_again(text: str) -> NodeCaller:
    """Does for a virtual node what `owner_again` does for others. Raises InvalidToken and Forbidden."""
    return callers.node_of(_not_revoked(text))


def _not_revoked(text: str) -> FoundToken:
    found = find_token(token_format.digest(text))
    if found is None or found.is_revoked or not found.in_force:
        raise InvalidToken("This token was revoked, or its owner is disabled.")
    return found


def _owner(found: FoundToken, *, now: datetime) -> PersonCaller | ServiceCaller:
    if found.person_id is not None:
        return _person(found, found.person_id, now=now)
    if found.service_id is not None and found.tenant_id is not None:
        return _service(found, found.service_id, found.tenant_id)
    raise InvalidToken("The prefix does not match the token's kind.")


def _person(found: FoundToken, person_id: int, *, now: datetime) -> PersonCaller:
    person = Person.objects.filter(pk=person_id, is_active=True).first()
    if person is None:
        raise InvalidToken(_DISABLED)
    rights = rights_of(person, now=now).bounded(scopes=found.scopes.split(), tenant_id=found.tenant_id)
    last_use.note(found.token_id)
    return PersonCaller(person.pk, person.get_full_name(), rights, found.token_id)


def _service(found: FoundToken, service_id: int, tenant_id: int) -> ServiceCaller:
    with seeing(tenants=[tenant_id]):
        service = ServiceAccount.objects.filter(pk=service_id, enabled=True, tenant__enabled=True).first()
    if service is None:
        raise InvalidToken(_DISABLED)
    last_use.note(found.token_id)
    rights = Rights((Held(Role(service.role), tenant_id=tenant_id),), frozenset(found.scopes.split()))
    return ServiceCaller(tenant_id, service.name or service.slug, rights, service.pk, found.token_id)
