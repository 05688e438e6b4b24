"""Our own tokens: their format, what is stored of them, and who may use one."""

from __future__ import annotations

import string
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from controlplane.audit.models import Event
from controlplane.auth import token_format
from controlplane.auth.tokens import issue
from controlplane.errors import BadRequest
from controlplane.tenants.models import ApiToken
from tests.factories import make_node, make_person, make_service, make_tenant

BASE62 = string.digits + string.ascii_letters


@pytest.mark.django_db
def test_a_token_is_a_prefix_thirty_random_characters_and_a_checksum() -> None:
    _, text = make_node()
    assert text.startswith("isn_")
    assert len(text) == 40
    assert set(text.removeprefix("isn_")) <= set(BASE62)
    assert token_format.is_well_formed(text)


@pytest.mark.django_db
def test_all_tokens_differ_and_none_is_stored() -> None:
    node, first = make_node()
    row, second = issue.mint(node)
    assert first != second
    stored = {name: str(value) for name, value in ApiToken.objects.values().get(pk=row.pk).items()}
    assert not [name for name, value in stored.items() if second[8:] in value]
    assert bytes(row.digest) == token_format.digest(second)
    assert second.startswith(row.hint)


@pytest.mark.django_db
def test_a_token_expires_after_the_requested_lifetime() -> None:
    row, _ = issue.mint(make_node()[0], lifetime=timedelta(hours=1))
    assert timedelta(minutes=59) < row.expires_at - timezone.now() <= timedelta(hours=1)


@given(st.integers(4, 39), st.sampled_from(BASE62))
def test_any_single_typing_error_is_detected_without_a_query(place: int, wrong: str) -> None:
    text = "isn_0123456789abcdefghijABCDEFGHIJ"
    text += token_format._checksum(text.removeprefix("isn_"))
    assert token_format.is_well_formed(text)
    mistyped = text[:place] + wrong + text[place + 1 :]
    assert token_format.is_well_formed(mistyped) == (mistyped == text)


@given(st.text(max_size=60))
def test_any_other_text_is_malformed(text: str) -> None:
    assert not token_format.is_well_formed(text)


@pytest.mark.django_db
@pytest.mark.parametrize("lifetime", [timedelta(), timedelta(seconds=-1), timedelta(days=366)])
def test_a_token_with_an_unreasonable_lifetime_is_refused(lifetime: timedelta) -> None:
    with pytest.raises(BadRequest, match="365 days"):
        issue.mint_personal(make_person(), scopes=["read"], lifetime=lifetime)
    assert not ApiToken.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("scopes", [[], ["admin"], ["read", "everything"]])
def test_unknown_or_missing_scopes_are_refused(scopes: list[str]) -> None:
    with pytest.raises(BadRequest, match="read, submit, cancel, manage"):
        issue.mint_service(make_service(), scopes=scopes, lifetime=timedelta(days=1))


@pytest.mark.django_db
def test_a_rotated_token_is_like_the_old_one_which_expires_soon() -> None:
    person, tenant = make_person(), make_tenant()
    scopes = ["submit", "read"]
    old, _ = issue.mint_personal(person, scopes=scopes, tenant=tenant, label="laptop", lifetime=timedelta(days=30))
    new, text = issue.rotate(old, overlap=timedelta(minutes=10))
    assert text.startswith("isp_")
    assert (new.person, new.tenant, new.scopes, new.label) == (person, tenant, ["read", "submit"], "laptop")
    assert new.expires_at - new.created_at == timedelta(days=30)
    assert timedelta(minutes=9) < old.expires_at - timezone.now() <= timedelta(minutes=10)
    assert old.replaced_by == new


@pytest.mark.django_db
def test_rotation_does_not_lengthen_a_token_that_expires_sooner() -> None:
    old, _ = issue.mint(make_node()[0], lifetime=timedelta(minutes=1))
    ends = old.expires_at
    issue.rotate(old, overlap=timedelta(minutes=10))
    assert old.expires_at == ends


@pytest.mark.django_db
def test_a_rotation_with_a_lost_answer_can_be_repeated_until_the_successor_is_used() -> None:
    old, _ = issue.mint_service(make_service(), scopes=["read"], lifetime=timedelta(days=30))
    lost, _ = issue.rotate(old)
    again, _ = issue.rotate(old)
    lost.refresh_from_db()
    assert lost.revoked_at is not None
    assert again.expires_at - again.created_at == timedelta(days=30)
    ApiToken.objects.filter(pk=again.pk).update(last_used_at=timezone.now())
    with pytest.raises(BadRequest, match="in use"):
        issue.rotate(old)


@pytest.mark.django_db
def test_rotation_respects_todays_longest_lifetime(settings: Any) -> None:
    old, _ = issue.mint(make_node()[0], lifetime=timedelta(days=300))
    settings.TOKEN_LONGEST = 86400
    new, _ = issue.rotate(old)
    assert new.expires_at - new.created_at == timedelta(days=1)


@pytest.mark.django_db
def test_an_expired_or_revoked_token_cannot_be_rotated() -> None:
    revoked, _ = issue.mint(make_node()[0])
    issue.revoke_token(revoked)
    expired, _ = issue.mint(make_node()[0])
    ApiToken.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
    for row in (revoked, expired):
        with pytest.raises(BadRequest, match="has ended"):
            issue.rotate(row)


@pytest.mark.django_db
def test_revoking_twice_is_recorded_once() -> None:
    row, _ = issue.mint(make_node()[0])
    assert [issue.revoke_token(row), issue.revoke_token(row)] == [True, False]
    assert Event.objects.filter(verb="token.revoke").count() == 1


@pytest.mark.django_db
def test_issue_rotation_and_revocation_are_in_the_trail_without_the_text() -> None:
    service = make_service()
    old, first = issue.mint_service(service, scopes=["read"], lifetime=timedelta(days=1))
    new, second = issue.rotate(old)
    issue.revoke_token(new)
    events = list(Event.objects.order_by("id"))
    assert [event.verb for event in events] == ["token.create", "token.create", "token.rotate", "token.revoke"]
    assert {event.tenant_id for event in events} == {service.tenant_id}
    assert events[0].changes["service"] == service.pk
    told = str([event.changes for event in events])
    assert first[8:] not in told
    assert second[8:] not in told
