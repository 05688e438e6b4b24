"""From a token that an identity provider issued to who calls, with a memory of a minute.

A verified token is remembered for FOREIGN_TOKEN_MEMORY and never past its end; the person, and what a person may do, is
looked up at each request, so that who is deactivated or removed is out at once. Somebody who was never here becomes a
person by a good token. What the token claims of groups is applied when it is verified, not each time it is shown.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from django.conf import settings

from controlplane.audit import actors
from controlplane.auth import token_format
from controlplane.auth.callers import PersonCaller, ServiceCaller
from controlplane.auth.oidc import bearer_tokens, claim_values, people
from controlplane.auth.oidc.apply_claims import apply_claims
from controlplane.auth.oidc.claim_rules import try_claims
from controlplane.auth.rights import Held, Rights, rights_of
from controlplane.auth.roles import Role
from controlplane.errors import Forbidden, InvalidToken, Unavailable
from controlplane.remembered import Remembered
from controlplane.tenants.models import Person, Tenant
from controlplane.tenants.scope import seeing_everything

if TYPE_CHECKING:
    from datetime import datetime

    from controlplane.auth.oidc.access_tokens import Access
    from controlplane.auth.oidc.bearer_tokens import Verified
    from controlplane.auth.oidc.issuer import Issuer

logger = logging.getLogger(__name__)

_REMEMBERED_AT_MOST = 10_000
_REFUSED_FOR = 10.0  # seconds: the same bad token, again and again, costs its issuer one question


@dataclass(frozen=True)
class _Known:
    """What is remembered of a token: nothing that can change while it lives."""

    issuer: Issuer
    access: Access
    person_id: int | None


class ForeignTokens:
    """The memory of one process."""

    def __init__(self) -> None:
        self._known: Remembered[bytes, _Known] = Remembered(at_most=_REMEMBERED_AT_MOST)
        #: Why each is refused, in words for whoever shows it.
        self._refused: Remembered[bytes, str] = Remembered(at_most=_REMEMBERED_AT_MOST)

    def caller(self, text: str, *, now: datetime) -> PersonCaller | ServiceCaller:
        """Who shows this token. Raises InvalidToken, Forbidden, Unavailable, and the database's errors."""
        digest = token_format.digest(text)
        return _caller(self._known.get(digest) or self._learned(digest, text, now=now), now=now)

    def again(self, text: str, *, now: datetime) -> PersonCaller | ServiceCaller:
        """Who began something long with this token and may go on, though it has expired meanwhile. Raises as above."""
        known = self._known.get_even_late(token_format.digest(text))
        return self.caller(text, now=now) if known is None else _caller(known, now=now)

    def _learned(self, digest: bytes, text: str, *, now: datetime) -> _Known:
        refusal = self._refused.get(digest)
        if refusal is not None:
            raise InvalidToken(refusal)
        self._known.drop(digest)
        try:
            found = bearer_tokens.verified(text)
        except InvalidToken as error:
            self._refused.put(digest, error.message, seconds=_REFUSED_FOR)
            raise
        known = _Known(found.issuer, found.access, _person_id(found, text, now=now))
        seconds = settings.FOREIGN_TOKEN_MEMORY
        if known.access.until is not None:
            seconds = min(seconds, known.access.until - time.time())
        self._known.put(digest, known, seconds=seconds)
        return known


#: The one of this process.
memory = ForeignTokens()


def _person_id(found: Verified, text: str, *, now: datetime) -> int | None:
    """The person whose token it is, made where there was none, with its claims applied; None for nobody's token."""
    subject = found.access.subject
    if not subject:
        return None
    known = Person.objects.filter(issuer=found.issuer.issuer, subject=subject).first()
    if known is not None and not known.is_active:
        return known.pk  # refused by _caller; nothing of it changes
    claims = found.claims
    if not found.access.by_capability and _lacks_groups(found):
        try:
            claims = bearer_tokens.more_claims(found, text)
        except Unavailable:
            if known is None:
                raise  # nothing is known of it: what it may do cannot be said
            logger.info("groups not asked for, those of before stand", extra={"issuer": found.issuer.alias})
    claims = claim_values.with_empty_claims(found.issuer, claims, granted=str(claims.get("scope", "")))
    with seeing_everything():
        person = known or people.arrive(found.issuer, subject, claims)
        if not found.access.by_capability:
            actor = replace(actors.current(), kind="person", id=person.pk, name=person.get_full_name())
            with actors.acting(actor):
                apply_claims(person, found.issuer, claims, now=now)
    return person.pk


def _lacks_groups(found: Verified) -> bool:
    """Whether the issuer, being of a kind that tells groups elsewhere (Check-in), is to be asked for them."""
    issuer = found.issuer
    tells_elsewhere = issuer.introspection or (issuer.profile.entitlements and not issuer.profile.groups)
    return bool(issuer.rules and tells_elsewhere and not try_claims(issuer, found.claims).is_known)


def _caller(known: _Known, *, now: datetime) -> PersonCaller | ServiceCaller:
    """As the rows are now."""
    person = None
    if known.person_id is not None:
        person = Person.objects.filter(pk=known.person_id, is_active=True).first()
        if person is None:
            raise InvalidToken("Your account here is disabled: ask your federation operator.")
    access = known.access
    if access.by_capability:
        tenant = _tenant(known.issuer)
        rights = Rights((Held(Role.TENANT_MEMBER, tenant_id=tenant.pk),), access.scopes)
        if person is None:
            # With the issuer's alias: clients of two issuers may have one name, and are told apart by nothing else.
            return ServiceCaller(tenant.pk, f"{access.client} ({known.issuer.alias})".strip(), rights)
    elif person is not None:
        rights = rights_of(person, now=now).bounded(scopes=access.scopes)
    if person is None:
        raise InvalidToken("This token does not say whose it is (`sub`).")
    return PersonCaller(person.pk, person.get_full_name(), rights)


def _tenant(issuer: Issuer) -> Tenant:
    """Whose rows the capability tokens of an issuer reach."""
    if not issuer.tenant:
        raise Forbidden(
            f"Capabilities (`compute.*`) of {issuer.name} reach no tenant here: the operator has named none for it;"
            " ask for a token without them."
        )
    with seeing_everything():
        tenant = Tenant.objects.filter(slug=issuer.tenant, enabled=True).first()
    if tenant is None:
        raise Forbidden(
            f"The tenant of {issuer.name} does not exist here, or is disabled: ask your federation operator."
        )
    return tenant
