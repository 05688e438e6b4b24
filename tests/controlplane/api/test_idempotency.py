"""A creation with an Idempotency-Key is done once, even if it is sent several times or at the same moment."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.utils import timezone

from controlplane.api.models import KeptAnswer
from controlplane.tenants.models import ApiToken, Tenant
from jobs.sweeps import retention
from tests.federation import token_of
from tests.threads import at_once

if TYPE_CHECKING:
    from tests.api import Api
    from tests.federation import Federation

pytestmark = pytest.mark.usefixtures("communities")
GEOLOGY = {"slug": "geology", "name": "Geology"}


def key(text: str = "k-1") -> dict[str, str]:
    return {"Idempotency-Key": text}


def test_a_repeated_request_gets_the_first_answer_and_is_not_done_again(api: Api, federation: Federation) -> None:
    token = federation.olga.token
    first = api.post("tenants", GEOLOGY, token=token, headers=key())
    again = api.post("tenants", dict(reversed(GEOLOGY.items())), token=token, headers=key())
    assert (first.status, again.status) == (201, 201)
    assert again.json == first.json
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert Tenant.objects.filter(slug="geology").count() == 1


def test_the_same_key_with_another_body_is_refused(api: Api, federation: Federation) -> None:
    token = federation.olga.token
    api.post("tenants", GEOLOGY, token=token, headers=key())
    answer = api.post("tenants", {**GEOLOGY, "name": "Other"}, token=token, headers=key())
    assert (answer.status, answer.json["code"]) == (422, "idempotency_key_reused")


def test_keys_are_separate_per_caller_and_per_address(api: Api, federation: Federation) -> None:
    one, other = federation.olga.token, federation.alice.token
    body = {"slug": "nightly"}
    paths = ["tenants/climate/service-accounts", "tenants/physics/service-accounts"]
    answers = [api.post(path, body, token=one, headers=key()) for path in paths]
    answers.append(api.post(paths[0], {"slug": "daily"}, token=other, headers=key()))
    assert [answer.status for answer in answers] == [201, 201, 201]


def test_a_failed_request_can_be_repeated_with_the_same_key(api: Api, federation: Federation) -> None:
    token = federation.olga.token
    body = {**GEOLOGY, "slug": "climate"}
    assert api.post("tenants", body, token=token, headers=key()).status == 409
    Tenant.objects.filter(slug="climate").update(slug="alchemy")
    assert api.post("tenants", body, token=token, headers=key()).status == 201


def test_a_key_replays_nothing_once_its_caller_has_lost_the_right(api: Api, federation: Federation) -> None:
    token = federation.olga.token
    api.post("tenants", GEOLOGY, token=token, headers=key())
    federation.olga.person.role_grants.all().delete()
    assert api.post("tenants", GEOLOGY, token=token, headers=key()).status == 403


def test_a_repeated_key_shows_its_token_again_and_the_token_is_stored_sealed(api: Api, federation: Federation) -> None:
    token = federation.nora.token
    federation.nora.person.memberships.create(tenant=federation.climate, role="member", origin="manual")
    answers = [api.post("tokens", {"scopes": ["read"]}, token=token, headers=key()) for _ in range(2)]
    assert answers[0].json["token"] == answers[1].json["token"]
    assert ApiToken.objects.filter(person=federation.nora.person).count() == 2
    kept = KeptAnswer.objects.get()
    assert answers[0].json["token"].encode() not in bytes(kept.answer or b"")


def test_a_narrower_token_does_not_see_a_wider_tokens_answer(api: Api, federation: Federation) -> None:
    person, body = federation.alice.person, {"scopes": ["read", "submit"]}
    narrow = [token_of(person, scopes=["manage"]), token_of(person, tenant=federation.climate)]
    assert api.post("tokens", body, token=token_of(person), headers=key()).status == 201
    assert [api.post("tokens", body, token=token, headers=key()).status for token in narrow] == [403, 403]


def test_a_rotated_tokens_successor_can_repeat_its_requests(api: Api, federation: Federation) -> None:
    before, after = (token_of(federation.olga.person) for _ in range(2))
    answers = [api.post("tenants", GEOLOGY, token=token, headers=key()) for token in (before, after)]
    assert answers[1].headers["idempotency-replayed"] == "true"


@pytest.mark.parametrize("odd", ["", "x" * 201, "käse", "tab\there"])
def test_a_malformed_key_is_refused(api: Api, federation: Federation, odd: str) -> None:
    answer = api.post("tenants", GEOLOGY, token=federation.olga.token, headers=key(odd))
    assert answer.status == 400
    assert answer.json["errors"][0]["field"] == "Idempotency-Key"


def test_after_a_day_the_key_is_new_again_and_the_sweep_deletes_its_answer(api: Api, federation: Federation) -> None:
    token = federation.olga.token
    api.post("tenants", GEOLOGY, token=token, headers=key())
    KeptAnswer.objects.update(created_at=timezone.now() - timedelta(seconds=settings.KEEP_ANSWERS + 1))
    assert api.post("tenants", {**GEOLOGY, "slug": "optics"}, token=token, headers=key()).status == 201
    assert retention.forget_the_old(now=timezone.now())["answers"] == 0
    in_two_days = timezone.now() + timedelta(days=2)
    assert retention.forget_the_old(now=in_two_days)["answers"] == 1


@pytest.mark.django_db(transaction=True)
def test_simultaneous_requests_with_one_key_create_once(api: Api, federation: Federation) -> None:
    token = federation.olga.token
    answers = at_once(*[lambda: api.post("tenants", GEOLOGY, token=token, headers=key())] * 6)
    assert [answer.status for answer in answers] == [201] * 6
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 5
    assert Tenant.objects.filter(slug="geology").count() == 1


def test_without_a_key_a_repeated_creation_is_a_conflict(api: Api, federation: Federation, settings: Any) -> None:
    token = federation.olga.token
    assert [api.post("tenants", GEOLOGY, token=token).status for _ in range(2)] == [201, 409]
    assert not KeptAnswer.objects.exists()
