"""Authenticates callers by identity providers' tokens, and remembers verified tokens for a minute.

A verified token is remembered for FOREIGN_TOKEN_MEMORY seconds and never after its expiry. The person and their rights
are looked up at each request, so that a disabled person is refused at once. A valid token of an unknown person creates
the person. The token's claims about groups are applied when it is verified, not at each request.
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
_REFUSED_FOR = 10.0  # seconds in which the same bad token is refused without asking its issuer again


@dataclass(frozen=True)
class _Known:
    """What is remembered of a verified token: only what cannot change while the token is valid."""

    issuer: Issuer
    access: Access
    person_id: int | None


class ForeignTokens:
    """Authenticates callers by identity providers' tokens, with a memory of one process."""

    def __init__(self) -> None:
        self._known: Remembered[bytes, _Known] = Remembered(at_most=_REMEMBERED_AT_MOST)
        #: {digest: the sentence why the token is refused}.
        self._refused: Remembered[bytes, str] = Remembered(at_most=_REMEMBERED_AT_MOST)

    def caller(self, text: str, *, now: datetime) -> PersonCaller | ServiceCaller:
        """Returns the caller of this token. Raises InvalidToken, Forbidden, Unavailable, and the database's errors."""
        digest = token_format.digest(text)
        return _caller(self._known.get(digest) or self._verify(digest, text, now=now), now=now)

    def again(self, text: str, *, now: datetime) -> PersonCaller | ServiceCaller:
        """Checks the caller of a long-running request again; its token may have expired. Raises as `caller`."""
        known = self._known.get_even_late(token_format.digest(text))
        return self.caller(text, now=now) if known is None else _caller(known, now=now)

    def _verify(self, digest: bytes, text: str, *, now: datetime) -> _Known:
        refusal = self._refused.get(digest)
        if refusal is not None:
            raise InvalidToken(refusal)
        self._known.drop(digest)
        try:
            found = bearer_tokens.verified(text)
        except InvalidToken as error:
            self._refused.put(digest, error.message, seconds=_REFUSED_FOR)
            raise
        known = _Known(found.issuer, found.access, _find_or_create_person(found, text, now=now))
        seconds = settings.FOREIGN_TOKEN_MEMORY
        if known.access.until is not None:
            seconds = min(seconds, known.access.until - time.time())
        self._known.put(digest, known, seconds=seconds)
        return known


#: The memory of this process.
memory = ForeignTokens()


def _find_or_create_person(found: Verified, text: str, *, now: datetime) -> int | None:
    """Returns the id of the token's owner, and applies the claims; None for a token without a subject.

    Raises Unavailable if the person is new and the issuer does not tell the groups.
    """
    subject = found.access.subject
    if not subject:
        return None
    known = Person.objects.filter(issuer=found.issuer.issuer, subject=subject).first()
    if known is not None and not known.is_active:
        return known.pk  # _caller refuses the person; nothing is changed
    claims, issuer = found.claims, found.issuer
    # Some issuers (Check-in) do not put groups into access tokens: introspection or userinfo has them.
    has_more = issuer.introspection or (issuer.profile.entitlements and not issuer.profile.groups)
    needs_groups = issuer.rules and not found.access.by_capability
    if needs_groups and has_more and not try_claims(issuer, claims).is_known:
        try:
            claims = bearer_tokens.more_claims(found, text)
        except Unavailable:
            if known is None:
                raise  # the person's rights are unknown
            logger.info("groups not asked for, those of before stand", extra={"issuer": issuer.alias})
    claims = claim_values.with_empty_claims(issuer, claims, granted=str(claims.get("scope", "")))
    with seeing_everything():
        person = known or people.arrive(issuer, subject, claims)
        if not found.access.by_capability:
            actor = replace(actors.current(), kind="person", id=person.pk, name=person.get_full_name())
            with actors.acting(actor):
                apply_claims(person, issuer, claims, now=now)
    return person.pk


def _caller(known: _Known, *, now: datetime) -> PersonCaller | ServiceCaller:
    """Returns the caller with its current rights. Raises InvalidToken and Forbidden."""
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
            # The issuer's alias is in the name, because clients of two issuers may have the same name.
            return ServiceCaller(tenant.pk, f"{access.client} ({known.issuer.alias})".strip(), rights)
    elif person is not None:
        rights = rights_of(person, now=now).bounded(scopes=access.scopes)
    if person is None:
        raise InvalidToken("This token does not name its owner (`sub`).")
    return PersonCaller(person.pk, person.get_full_name(), rights)


def _tenant(issuer: Issuer) -> Tenant:
    """Returns the tenant whose rows the issuer's capability tokens reach. Raises Forbidden if there is none."""
    if not issuer.tenant:
        raise Forbidden(
            f"Capabilities (`compute.*`) of {issuer.name} cannot be used here: the operator has set no tenant for them;"
            " use a token without capabilities."
        )
    with seeing_everything():
        tenant = Tenant.objects.filter(slug=issuer.tenant, enabled=True).first()
    if tenant is None:
        raise Forbidden(
            f"The tenant of {issuer.name} does not exist here, or is disabled: ask your federation operator."
        )
    return tenant
