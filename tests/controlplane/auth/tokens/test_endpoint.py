"""POST /oauth2/token, called like the interLink Helm chart's refresh sidecar, and in every other way."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone

from controlplane import remembered
from controlplane.audit.models import Event
from controlplane.auth import token_format
from controlplane.auth.tokens import issue
from controlplane.auth.tokens.authenticate import find_token
from controlplane.tenants.models import ApiToken
from jobs.sweeps import retention
from tests.database_roles import as_web_role, database_away
from tests.factories import make_node
from tests.wire import call

if TYPE_CHECKING:
    from controlplane.tenants.models import VirtualNode

pytestmark = pytest.mark.django_db


def client_of(**fields: Any) -> tuple[VirtualNode, str]:
    """Return a node and one of its client secrets."""
    node, _ = make_node(**fields)
    return node, issue.mint(node, kind=ApiToken.Kind.CLIENT)[1]


def basic(client_id: str, secret: str) -> str:
    return "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()


def ask(header: str | None = None, **form: str) -> Any:
    headers = {} if header is None else {"Authorization": header}
    body = "&".join(f"{name}={value}" for name, value in form.items())
    return Client().post("/oauth2/token", body, "application/x-www-form-urlencoded", headers=headers)


def as_the_sidecar(node: VirtualNode, secret: str, **form: str) -> Any:
    """Call with the credentials both by HTTP Basic and in the body, and with an audience, as the sidecar does."""
    sent = {"audience": "DUMMY", "grant_type": "client_credentials", "client_id": node.slug, "client_secret": secret}
    return ask(basic(node.slug, secret), **{**sent, **form})


def test_the_sidecar_gets_a_token_for_the_wire_for_fifteen_minutes() -> None:
    node, secret = client_of()
    answer = as_the_sidecar(node, secret)
    body = answer.json()
    assert (answer.status_code, body["token_type"], body["expires_in"]) == (200, "Bearer", 900)
    assert set(body) == {"access_token", "token_type", "expires_in"}
    assert (answer["Cache-Control"], answer["Pragma"]) == ("no-store", "no-cache")
    assert call("POST", f"/vk/{node.slug}/updateCache", token=body["access_token"]).status == 200
    row = ApiToken.objects.get(digest=token_format.digest(body["access_token"]))
    assert row.automatic
    assert row.expires_at - row.created_at == timedelta(seconds=900)


@pytest.mark.parametrize("way", ["header", "body"])
def test_the_credentials_may_come_in_one_way_only(way: str) -> None:
    node, secret = client_of()
    if way == "header":
        assert ask(basic(node.slug, secret), grant_type="client_credentials").status_code == 200
    else:
        assert ask(grant_type="client_credentials", client_id=node.slug, client_secret=secret).status_code == 200


def test_the_refresh_grant_of_the_sidecar_keeps_its_refresh_token() -> None:
    node, secret = client_of()
    for _ in range(2):  # the second time with the token from the first answer
        answer = as_the_sidecar(node, secret, grant_type="refresh_token", refresh_token=secret)
        assert answer.status_code == 200
        assert answer.json()["refresh_token"] == secret
        assert call("POST", "/updateCache", token=answer.json()["access_token"]).status == 200


@pytest.mark.parametrize("shown", ["DUMMY", "", "another's", "a node's token"])
def test_a_wrong_refresh_token_is_an_invalid_grant(shown: str) -> None:
    node, secret = client_of()
    other = {"another's": client_of()[1], "a node's token": issue.mint(node)[1]}.get(shown, shown)
    answer = as_the_sidecar(node, secret, grant_type="refresh_token", refresh_token=other)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_wrong_credentials_are_an_invalid_client_without_details() -> None:
    node, secret = client_of()
    other, others = client_of()
    wrong = [
        ask(grant_type="client_credentials"),
        ask("Basic ???", grant_type="client_credentials"),
        ask(basic("nobody", secret), grant_type="client_credentials"),
        ask(basic(node.slug, others), grant_type="client_credentials"),
        ask(basic(node.slug, issue.mint(node)[1]), grant_type="client_credentials"),
        ask(basic(node.slug, secret[:-1]), grant_type="client_credentials"),
        ask(basic(node.slug, secret), grant_type="client_credentials", client_id=other.slug, client_secret=others),
    ]
    for answer in wrong:
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
        assert answer["WWW-Authenticate"].startswith("Basic ")
        assert answer["Cache-Control"] == "no-store"
    assert wrong[2].json() == wrong[3].json()
    assert not ApiToken.objects.filter(automatic=True).exists()


@pytest.mark.parametrize("change", [{"revoked_at": timezone.now()}, {"expires_at": timezone.now()}])
def test_an_expired_or_revoked_secret_is_an_invalid_client(change: dict[str, Any]) -> None:
    node, secret = client_of()
    ApiToken.objects.filter(kind="client").update(**change)
    assert as_the_sidecar(node, secret).status_code == 401


def test_the_secret_of_a_disabled_tenant_is_an_invalid_client() -> None:
    node, secret = client_of()
    node.tenant.enabled = False
    node.tenant.save()
    assert as_the_sidecar(node, secret).json()["error"] == "invalid_client"


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        ({"grant_type": "authorization_code"}, "unsupported_grant_type"),
        ({"grant_type": ""}, "invalid_request"),
        ({"grant_type": "client_credentials&grant_type=client_credentials"}, "invalid_request"),
    ],
)
def test_other_grants_are_refused_with_the_rfcs_error_code(form: dict[str, str], error: str) -> None:
    node, secret = client_of()
    answer = as_the_sidecar(node, secret, **form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_other_methods_and_bodies_are_refused() -> None:
    client = Client()
    assert client.get("/oauth2/token").status_code == 405
    assert client.post("/oauth2/token", {"grant_type": "client_credentials"}, "application/json").status_code == 400
    large = "grant_type=" + "x" * 20_000
    assert client.post("/oauth2/token", large, "application/x-www-form-urlencoded").status_code == 400


def test_a_client_secret_opens_nothing_else() -> None:
    node, secret = client_of()
    for path in ("/updateCache", "/status", f"/vk/{node.slug}/pinglink"):
        answer = call("POST", path, b"[]", token=secret)
        assert answer.status == 401
        assert "/oauth2/token" in answer.text
        assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_many_wrong_secrets_are_answered_429_and_a_right_one_never_is(settings: Any) -> None:
    settings.AUTH_FAILURES = 3
    node, secret = client_of()
    wrong = [ask(basic(node.slug, "isc_wrong"), grant_type="client_credentials") for _ in range(5)]
    assert [answer.status_code for answer in wrong] == [401, 401, 401, 429, 429]
    assert int(wrong[-1]["Retry-After"]) > 0
    assert as_the_sidecar(node, secret).status_code == 200
    other, others = client_of()
    assert ask(basic(other.slug, "isc_wrong"), grant_type="client_credentials").status_code == 401
    assert as_the_sidecar(other, others).status_code == 200


def test_failures_are_not_counted_while_redis_is_down(settings: Any) -> None:
    away = {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    settings.CACHES = {"default": away}
    settings.AUTH_FAILURES = 0
    node, secret = client_of()
    assert ask(basic(node.slug, "isc_wrong"), grant_type="client_credentials").status_code == 401
    assert as_the_sidecar(node, secret).status_code == 200
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}


def test_revoking_a_secret_revokes_only_the_tokens_issued_for_it() -> None:
    node, secret = client_of()
    kept = issue.mint(node, kind=ApiToken.Kind.CLIENT)[1]
    given = as_the_sidecar(node, secret).json()["access_token"]
    beside = as_the_sidecar(node, kept).json()["access_token"]
    assert call("POST", "/updateCache", token=given).status == 200
    issue.revoke_token(ApiToken.objects.get(digest=token_format.digest(secret)))
    remembered.forget_everything()
    assert call("POST", "/updateCache", token=given).status == 401
    assert call("POST", "/updateCache", token=beside).status == 200


def test_each_token_is_in_the_trail_with_its_node_and_without_its_text() -> None:
    node, secret = client_of()
    text = as_the_sidecar(node, secret).json()["access_token"]
    event = Event.objects.get(verb="token.issue")
    secret_row = ApiToken.objects.get(kind="client")
    assert (event.actor_kind, event.actor_id, event.actor) == ("node", node.pk, node.slug)
    assert (event.tenant_id, event.token_id, event.outcome) == (node.tenant_id, secret_row.pk, "done")
    assert text[8:] not in str(event.changes)
    assert secret_row.last_used_at is not None


def test_tokens_of_the_endpoint_are_deleted_a_day_after_their_expiry() -> None:
    node, secret = client_of()
    for _ in range(2):
        as_the_sidecar(node, secret)
    recent, old = ApiToken.objects.filter(automatic=True)
    now = timezone.now()
    ApiToken.objects.filter(pk=old.pk).update(expires_at=now - timedelta(hours=25))
    ApiToken.objects.filter(pk=recent.pk).update(expires_at=now - timedelta(hours=23))
    ApiToken.objects.filter(automatic=False).update(expires_at=now - timedelta(days=30))
    assert retention.forget_the_old(now=now)["tokens"] == 1
    assert set(ApiToken.objects.filter(automatic=True)) == {recent}
    assert ApiToken.objects.filter(automatic=False).count() == 2


@pytest.mark.django_db(transaction=True)
def test_the_endpoint_works_behind_row_security() -> None:
    node, secret = client_of()
    with as_web_role():
        assert not ApiToken.objects.exists(), "outside of a scope no row is visible"
        answer = as_the_sidecar(node, secret)
        assert answer.status_code == 200
        assert find_token(token_format.digest(answer.json()["access_token"])) is not None


@pytest.mark.django_db(transaction=True)
def test_with_the_database_away_the_sidecar_gets_a_503_with_retry_after() -> None:
    node, secret = client_of()
    with database_away():
        answer = as_the_sidecar(node, secret)
        assert ask(basic(node.slug, "isc_wrong"), grant_type="client_credentials").status_code == 401
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert int(answer["Retry-After"]) > 0
    assert as_the_sidecar(node, secret).status_code == 200
