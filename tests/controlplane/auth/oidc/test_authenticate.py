"""Identity providers' access tokens at the API: good, forged, or for other services; and providers that fail."""

from __future__ import annotations

import base64
import hmac
import json
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from joserfc.jwk import ECKey, OKPKey, RSAKey

from controlplane.audit.models import Event
from controlplane.auth.oidc import authenticate, issuers
from controlplane.tenants.models import Membership, Person, Tenant
from tests.database_roles import as_web_role
from tests.factories import make_tenant
from tests.identity_provider import IdentityProvider, Visitor, running
from tests.issuers import write
from tests.threads import at_once
from tests.wire import Answer, call

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.django_db

KEYCLOAK = {
    "rules": [{"name": "members", "group": "/vo", "tenant": "vo", "give": "member"}],
    "audiences": ["isthmus-api"],
}
CHECK_IN = {
    "rules": [{"name": "members", "group": "vo", "role": "member", "tenant": "vo", "give": "member"}],
    "clients": ["isthmus", "oidc-agent"],
    "shared_clients": ["oidc-agent"],
}
ENTITLEMENT = "urn:mace:egi.eu:group:vo:role=member#aai.egi.eu"


@pytest.fixture(autouse=True)
def tenant(settings: Any) -> Tenant:
    settings.ROOT_URLCONF = "tests.caller_urls"
    settings.ISSUER_TIMEOUT = 0.5
    return make_tenant(slug="vo")


@pytest.fixture
def start(settings: Any, tmp_path: Path) -> Iterator[Any]:
    """A function that starts a provider and adds it as an issuer beside those started before."""
    entries: list[dict[str, Any]] = []
    with ExitStack() as stack:

        def one(kind: str = "keycloak", alias: str = "idp", **fields: Any) -> IdentityProvider:
            provider = stack.enter_context(running(kind))
            provider.visitor = Visitor(claims={"groups": ["/vo"]} if kind == "keycloak" else {})
            entries.append(provider.configuration(alias, **fields))
            settings.ISSUERS = str(write(tmp_path, *entries))
            issuers._read.cache_clear()
            return provider

        yield one
    issuers._read.cache_clear()


@pytest.fixture
def keycloak(start: Any) -> IdentityProvider:
    provider: IdentityProvider = start(**KEYCLOAK)
    return provider


@pytest.fixture
def check_in(start: Any) -> IdentityProvider:
    provider: IdentityProvider = start("egi-check-in", **CHECK_IN)
    provider.visitor = Visitor(sub="64hex@egi.eu", claims={"entitlements": [ENTITLEMENT]})
    return provider


def who(token: str, method: str = "GET") -> Answer:
    return call(method, "/api/v1/who", token=token)


def refused(token: str) -> str:
    """Return the sentence of a 401 for a bad token."""
    answer = who(token)
    assert answer.status == 401, answer.text
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    return answer.text


def test_a_good_token_of_an_unknown_subject_makes_a_person_with_its_claims(
    keycloak: IdentityProvider, tenant: Tenant
) -> None:
    answer = who(keycloak.access_token(name="Ada Lovelace"), "POST")
    assert answer.status == 200
    person = Person.objects.get()
    assert (person.issuer, person.subject, person.name) == (keycloak.issuer, "a1b2c3", "Ada Lovelace")
    assert answer.json == {
        "person": person.pk, "name": "Ada Lovelace", "token": None, "tenants": [tenant.pk], "scopes": None,
    }  # fmt: skip
    assert {event.verb for event in Event.objects.all()} == {"person.create", "membership.give"}
    assert Event.objects.get(verb="membership.give").actor_id == person.pk


def test_two_providers_with_the_same_subject_are_two_people(start: Any) -> None:
    one, other = start(alias="one", **KEYCLOAK), start(alias="other", **KEYCLOAK)
    assert who(one.access_token()).json["person"] != who(other.access_token()).json["person"]


def test_a_token_is_verified_and_applied_once_and_the_person_is_loaded_each_time(keycloak: IdentityProvider) -> None:
    token = keycloak.access_token()
    assert who(token).status == 200
    Membership.objects.all().delete()
    keycloak.down = {"all"}
    assert who(token).status == 403, "the token is remembered, and the roles are read again"
    assert not Membership.objects.exists()
    Person.objects.update(is_active=False)
    assert "disabled" in refused(token)


def test_a_deactivated_person_is_refused_before_claims_are_applied(keycloak: IdentityProvider) -> None:
    who(keycloak.access_token())
    Person.objects.update(is_active=False)
    Membership.objects.all().delete()
    assert "disabled" in refused(keycloak.access_token())
    assert not Membership.objects.exists()


def test_a_token_is_not_remembered_past_its_expiry(keycloak: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    token = keycloak.access_token(exp=int(time.time()) + 30)
    assert who(token).status == 200
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 31)
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall + 95)
    assert "expired" in refused(token)


def test_the_memory_of_tokens_is_bounded(keycloak: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticate, "_REMEMBERED_AT_MOST", 2)
    monkeypatch.setattr(authenticate, "memory", authenticate.ForeignTokens())
    for _ in range(4):
        who(keycloak.access_token())
        who("not.a.token" + str(time.time()))
    assert len(authenticate.memory._known) <= 2
    assert len(authenticate.memory._refused) <= 2


def test_an_unknown_issuer_is_never_called(keycloak: IdentityProvider) -> None:
    with running() as stranger:
        assert "not known here" in refused(stranger.access_token())
        for issuer in (keycloak.issuer + "/", keycloak.issuer.upper(), "", None, 7, [keycloak.issuer]):
            refused(stranger.sign({"iss": issuer, "sub": "x", "jwks_uri": f"{stranger.issuer}/jwks"}))
        assert stranger.calls == []
    assert keycloak.calls == []


def test_only_the_issuers_keys_and_our_algorithms_are_accepted(keycloak: IdentityProvider) -> None:
    good = keycloak.access_token()
    claims = json.loads(base64.urlsafe_b64decode(good.split(".")[1] + "=="))
    kid = str(keycloak.keys[0].kid)
    forged = [
        keycloak.sign(claims, key=RSAKey.generate_key(2048, {"kid": kid})),
        with_the_public_key_as_secret(keycloak.keys[0].as_pem(private=False), kid, claims),
        keycloak.sign(claims, alg="RS512"),
        keycloak.sign(claims, key=ECKey.generate_key("P-256", {"kid": kid}), alg="ES256"),
        unsigned({"alg": "none"}, claims),
        unsigned({"alg": "RS256", "kid": kid}, claims),
        unsigned({"alg": "RS256", "kid": kid, "crit": ["exp"]}, claims),
        unsigned({"alg": "RS256", "kid": ["x"]}, claims),
        good[:-8] + "AAAAAAAA",
    ]
    for token in forged:
        assert refused(token)
    assert not Person.objects.exists()
    assert who(good).status == 200


def with_the_public_key_as_secret(public: bytes, kid: str, claims: dict[str, Any]) -> str:
    """Sign by hand with HS256, because joserfc refuses to use a public key as a secret."""
    signed = unsigned({"alg": "HS256", "kid": kid}, claims).removesuffix(".")
    signature = hmac.new(public, signed.encode(), "sha256").digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_an_algorithm_that_does_not_fit_the_key_is_a_401(start: Any) -> None:
    provider = start(algorithms=["RS256", "ES256", "Ed25519"], **KEYCLOAK)
    kid = str(provider.keys[0].kid)
    claims = {"iss": provider.issuer, "sub": "x", "aud": "isthmus-api", "exp": int(time.time()) + 60}
    for key, alg in (
        (ECKey.generate_key("P-256", {"kid": kid}), "ES256"),
        (OKPKey.generate_key("Ed25519", {"kid": kid}), "Ed25519"),
    ):
        assert refused(provider.sign(claims, key=key, alg=alg))


def unsigned(header: dict[str, Any], claims: dict[str, Any]) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(each).encode()).rstrip(b"=").decode() for each in (header, claims)]
    return ".".join(parts) + "."


@pytest.mark.parametrize(
    "token",
    [
        "x" * 9000, "a.b.c", "..", "eyJhbGciOiJub25lIn0..", "ünïcode", "two words", "isp_short", "isx_" + "a" * 36,
        base64.urlsafe_b64encode(b"[" * 5000).decode() + ".e30.x", "eyJhbGciOiJSUzI1NiJ9." + "W" * 4000 + ".x",
    ],
)  # fmt: skip
def test_a_malformed_token_is_a_401(keycloak: IdentityProvider, token: str) -> None:
    assert refused(token)
    assert keycloak.calls == []


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"exp": int(time.time()) - 90}, "expired"),
        ({"exp": None}, "no expiry time"),
        ({"iat": int(time.time()) + 400}, "clocks"),
        ({"aud": "another"}, "another service"),
        ({"aud": None}, "client"),
        ({"typ": "ID"}, "access token"),
        ({"typ": "Refresh"}, "access token"),
        ({"cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}}, "certificate"),
        ({"sub": None}, "does not name its owner"),
    ],
)
def test_a_good_signature_alone_is_not_enough(keycloak: IdentityProvider, claims: dict[str, Any], word: str) -> None:
    assert word in refused(keycloak.access_token(**claims))
    assert not Person.objects.exists()


@pytest.mark.parametrize("skew", [-45, 45])
def test_a_small_clock_difference_is_accepted(keycloak: IdentityProvider, skew: int) -> None:
    keycloak.skew = skew
    assert who(keycloak.access_token()).status == 200


def test_an_id_token_is_not_an_access_token(keycloak: IdentityProvider) -> None:
    assert keycloak.visitor
    assert "access token" in refused(keycloak.id_token({"nonce": "n"}, keycloak.visitor))


def test_a_provider_that_is_down_is_a_503_and_the_others_still_work(start: Any) -> None:
    dead, healthy = start(alias="dead", **KEYCLOAK), start(alias="healthy", **KEYCLOAK)
    dead.down = {"all"}
    answer = who(dead.access_token())
    assert answer.status == 503
    assert "try again" in answer.text
    assert who(healthy.access_token()).status == 200
    assert len(dead.calls) == 1
    assert who(dead.access_token()).status == 503
    assert len(dead.calls) == 1, "a silent issuer is not called again for a while"


def test_a_slow_provider_is_a_503_within_the_time_limit(keycloak: IdentityProvider, settings: Any) -> None:
    settings.ISSUER_TIMEOUT = 0.2
    keycloak.delay = {"jwks": 1.0}
    began = time.monotonic()
    assert who(keycloak.access_token()).status == 503
    assert time.monotonic() - began < 0.9


def test_a_new_key_is_fetched_at_most_once_per_interval_and_an_old_one_stays_good(
    keycloak: IdentityProvider, settings: Any
) -> None:
    old = keycloak.access_token()
    assert who(old).status == 200
    keycloak.rotate(keep=True)
    for _ in range(3):
        assert "does not publish" in refused(keycloak.access_token())
    assert keycloak.calls.count("jwks") == 1
    settings.ISSUER_RETRY = 0
    assert who(keycloak.access_token()).status == 200
    authenticate.memory._known.clear()
    assert who(old).status == 200


def test_known_keys_stay_good_while_the_provider_is_down(keycloak: IdentityProvider) -> None:
    assert who(keycloak.access_token()).status == 200
    keycloak.down = {"all"}
    assert who(keycloak.access_token(jti="another")).status == 200


def test_a_token_without_the_groups_claim_removes_nothing(keycloak: IdentityProvider, tenant: Tenant) -> None:
    assert who(keycloak.access_token()).json["tenants"] == [tenant.pk]
    assert who(keycloak.access_token(groups=None)).json["tenants"] == [tenant.pk]
    assert who(keycloak.access_token(groups=[])).status == 403, "an empty claim removes memberships"
    assert not Membership.objects.exists()


def test_a_check_in_token_without_audience_gets_its_groups_from_userinfo(
    check_in: IdentityProvider, tenant: Tenant
) -> None:
    token = check_in.access_token(azp="isthmus")
    assert "aud" not in json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
    for _ in range(3):
        answer = who(token, "POST")
        assert answer.status == 200
        assert answer.json["tenants"] == [tenant.pk]
    assert check_in.calls.count("userinfo") == 1
    assert Person.objects.get().name == "Ada Lovelace"


def test_a_token_of_a_shared_client_may_only_read(check_in: IdentityProvider) -> None:
    token = check_in.access_token(azp="oidc-agent")
    assert who(token).json["scopes"] == ["read"]
    assert who(token, "POST").status == 403


def test_a_token_of_an_unlisted_client_is_refused(check_in: IdentityProvider) -> None:
    assert "client" in refused(check_in.access_token(azp="another"))


def test_userinfo_of_another_subject_is_refused(check_in: IdentityProvider) -> None:
    check_in.userinfo_claims = {"sub": "mallory"}
    assert who(check_in.access_token()).status == 403
    assert not Membership.objects.exists()


def test_while_userinfo_is_down_known_people_continue_and_new_ones_wait(
    check_in: IdentityProvider, tenant: Tenant
) -> None:
    assert who(check_in.access_token(jti="1")).status == 200
    check_in.down = {"userinfo"}
    assert who(check_in.access_token(jti="2")).json["tenants"] == [tenant.pk]
    assert who(check_in.access_token(Visitor(sub="new"))).status == 503
    assert check_in.calls.count("userinfo") == 2, "a silent issuer is not called again for a moment"


def test_an_opaque_token_is_introspected_once(start: Any, tenant: Tenant) -> None:
    provider = start("indigo-iam", introspection=True, clients=["isthmus"], rules=[_group("vo")])
    provider.visitor = Visitor(claims={"groups": ["vo"]})
    token = provider.opaque_token()
    for _ in range(2):
        assert who(token, "POST").json["tenants"] == [tenant.pk]
    assert provider.calls.count("introspect") == 1


def _group(name: str) -> dict[str, str]:
    return {"name": "members", "group": name, "tenant": "vo", "give": "member"}


def test_an_inactive_or_unknown_opaque_token_is_a_401(start: Any) -> None:
    provider = start("indigo-iam", introspection=True, clients=["isthmus"])
    assert refused(provider.opaque_token(active=False))
    assert refused("made-up")
    asked = provider.calls.count("introspect")
    assert refused("made-up")
    assert provider.calls.count("introspect") == asked, "a repeated bad token causes no further call"


@pytest.mark.parametrize(
    "claims",
    [{"aud": "another"}, {"azp": "another"}, {"token_type": "refresh_token"}, {"iss": "https://x"}, {"exp": 1}],
)
def test_an_active_opaque_token_is_checked_like_any_other(start: Any, claims: dict[str, Any]) -> None:
    provider = start("indigo-iam", introspection=True, clients=["isthmus"])
    assert refused(provider.opaque_token(**claims))


def test_without_an_introspecting_issuer_no_issuer_is_called(keycloak: IdentityProvider) -> None:
    assert "not one of ours, and no issuer" in refused(keycloak.opaque_token())
    assert keycloak.calls == []


def test_one_silent_introspection_does_not_hide_another_issuers_answer(start: Any) -> None:
    dead = start("indigo-iam", alias="dead", introspection=True, clients=["isthmus"], rules=[_group("vo")])
    healthy = start("indigo-iam", alias="healthy", introspection=True, clients=["isthmus"], rules=[_group("vo")])
    healthy.visitor = Visitor(claims={"groups": ["vo"]})
    dead.down = {"introspect"}
    assert who(healthy.opaque_token()).status == 200
    assert who("of-the-dead-one-perhaps").status == 503
    assert dead.calls.count("introspect") == 1


@pytest.fixture
def wlcg(start: Any) -> IdentityProvider:
    provider: IdentityProvider = start("wlcg-iam", tenant="vo", rules=[_group("/others")])
    provider.visitor = Visitor(claims={"wlcg.groups": ["/others"]})
    return provider


def test_wlcg_capabilities_decide_and_groups_do_not(wlcg: IdentityProvider, tenant: Tenant) -> None:
    answer = who(wlcg.access_token(scope="openid compute.create compute.read wlcg.groups"), "POST")
    assert answer.status == 200
    assert (answer.json["tenants"], answer.json["scopes"]) == ([tenant.pk], ["read", "submit"])
    assert answer.json["person"] == Person.objects.get().pk
    assert not Membership.objects.exists()
    assert who(wlcg.access_token(scope="compute.read"), "POST").status == 403
    assert who(wlcg.access_token(scope="compute.modify")).status == 403


def test_a_capability_token_without_a_person_is_a_program_of_the_tenant(wlcg: IdentityProvider, tenant: Tenant) -> None:
    answer = who(wlcg.access_token(sub=None, azp=None, client_id="pilot", scope="compute.read"))
    assert (answer.json["person"], answer.json["name"], answer.json["tenants"]) == (None, "pilot (idp)", [tenant.pk])
    assert not Person.objects.exists()


def test_capabilities_of_an_issuer_without_a_tenant_give_nothing(start: Any) -> None:
    provider = start("wlcg-iam")
    answer = who(provider.access_token(scope="compute.read"))
    assert answer.status == 403
    assert "no tenant" in answer.text


def test_capabilities_end_with_their_tenant(wlcg: IdentityProvider, tenant: Tenant) -> None:
    token = wlcg.access_token(scope="compute.read")
    assert who(token).status == 200
    Tenant.objects.filter(pk=tenant.pk).update(enabled=False)
    assert who(token).status == 403


def test_a_token_without_capabilities_uses_its_groups(start: Any, tenant: Tenant) -> None:
    provider = start("wlcg-iam", rules=[_group("/vo")], clients=["portal"])
    provider.visitor = Visitor(claims={"wlcg.groups": ["/vo", "/vo/prod"]})
    token = provider.access_token(scope="openid wlcg.groups", azp="portal")
    assert who(token, "POST").json["tenants"] == [tenant.pk]


def test_a_clients_own_token_is_a_separate_person(keycloak: IdentityProvider, tenant: Tenant) -> None:
    token = keycloak.access_token(
        Visitor(sub="f00"), preferred_username="service-account-pipeline", azp="pipeline", groups=["/vo"]
    )
    assert who(token, "POST").json["name"] == "service-account-pipeline"
    assert Person.objects.get().subject == "f00"


def test_an_identity_providers_token_does_not_open_the_wire(keycloak: IdentityProvider) -> None:
    assert call("POST", "/updateCache", token=keycloak.access_token()).status == 403
    assert call("POST", "/status", b"[]", token=keycloak.access_token()).status == 401


@pytest.mark.django_db(transaction=True)
def test_new_people_are_created_under_row_security(keycloak: IdentityProvider, tenant: Tenant) -> None:
    with as_web_role():
        assert who(keycloak.access_token(), "POST").json["tenants"] == [tenant.pk]


@pytest.mark.django_db(transaction=True)
def test_simultaneous_first_calls_create_one_person(keycloak: IdentityProvider) -> None:
    texts = [keycloak.access_token(jti=str(number)) for number in range(8)]
    assert at_once(*[lambda text=text: who(text).status for text in texts]) == [200] * 8
    assert Person.objects.count() == 1
    assert Membership.objects.count() == 1


def test_programs_of_two_issuers_with_one_name_are_two_callers(start: Any, tenant: Tenant) -> None:
    """They serve different tenants, so remembered tokens and rate limits of the two must be separate."""
    make_tenant(slug="others")
    one, other = start("wlcg-iam", alias="one", tenant="vo"), start("wlcg-iam", alias="other", tenant="others")
    told = [
        authenticate.memory.caller(
            each.access_token(sub=None, azp=None, client_id="pilot", scope="compute.read"), now=timezone.now()
        )
        for each in (one, other)
    ]
    assert told[0].actor != told[1].actor
