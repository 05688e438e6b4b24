"""Identity providers' access tokens at the API: good ones, forged ones, and those for others; providers that fail."""

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
    """Starts a provider and configures it as an issuer beside those started before."""
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
    """The sentence of a 401 for a bad token."""
    answer = who(token)
    assert answer.status == 401, answer.text
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'
    return answer.text


def test_a_good_token_of_somebody_new_makes_a_person_with_what_it_claims(
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


def test_a_token_is_verified_and_applied_once_and_the_person_looked_up_each_time(keycloak: IdentityProvider) -> None:
    token = keycloak.access_token()
    assert who(token).status == 200
    Membership.objects.all().delete()
    keycloak.down = {"all"}
    assert who(token).status == 403, "remembered, and its roles are read anew"
    assert not Membership.objects.exists()
    Person.objects.update(is_active=False)
    assert "disabled" in refused(token)


def test_a_deactivated_person_is_refused_before_anything_is_applied(keycloak: IdentityProvider) -> None:
    who(keycloak.access_token())
    Person.objects.update(is_active=False)
    Membership.objects.all().delete()
    assert "disabled" in refused(keycloak.access_token())
    assert not Membership.objects.exists()


def test_a_token_is_not_remembered_past_its_end(keycloak: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    token = keycloak.access_token(exp=int(time.time()) + 30)
    assert who(token).status == 200
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 31)
    wall = time.time()
    monkeypatch.setattr(time, "time", lambda: wall + 95)
    assert "expired" in refused(token)


def test_what_is_remembered_is_bounded(keycloak: IdentityProvider, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(authenticate, "_REMEMBERED_AT_MOST", 2)
    monkeypatch.setattr(authenticate, "memory", authenticate.ForeignTokens())
    for _ in range(4):
        who(keycloak.access_token())
        who("not.a.token" + str(time.time()))
    assert len(authenticate.memory._known) <= 2
    assert len(authenticate.memory._refused) <= 2


def test_a_stranger_is_never_asked_anything(keycloak: IdentityProvider) -> None:
    with running() as stranger:
        assert "not known here" in refused(stranger.access_token())
        for issuer in (keycloak.issuer + "/", keycloak.issuer.upper(), "", None, 7, [keycloak.issuer]):
            refused(stranger.sign({"iss": issuer, "sub": "x", "jwks_uri": f"{stranger.issuer}/jwks"}))
        assert stranger.calls == []
    assert keycloak.calls == []


def test_only_the_issuers_keys_and_our_algorithms_sign(keycloak: IdentityProvider) -> None:
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
    """HS256, by hand: joserfc refuses to sign such a thing."""
    signed = unsigned({"alg": "HS256", "kid": kid}, claims).removesuffix(".")
    signature = hmac.new(public, signed.encode(), "sha256").digest()
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def test_an_algorithm_that_is_not_the_keys_is_a_401(start: Any) -> None:
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
def test_what_is_no_token_is_a_401(keycloak: IdentityProvider, token: str) -> None:
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
def test_good_signatures_are_not_enough(keycloak: IdentityProvider, claims: dict[str, Any], word: str) -> None:
    assert word in refused(keycloak.access_token(**claims))
    assert not Person.objects.exists()


@pytest.mark.parametrize("skew", [-45, 45])
def test_clocks_may_differ_a_little(keycloak: IdentityProvider, skew: int) -> None:
    keycloak.skew = skew
    assert who(keycloak.access_token()).status == 200


def test_an_id_token_is_no_access_token(keycloak: IdentityProvider) -> None:
    assert keycloak.visitor
    assert "access token" in refused(keycloak.id_token({"nonce": "n"}, keycloak.visitor))


def test_a_provider_that_is_down_is_a_503_and_the_others_go_on(start: Any) -> None:
    dead, healthy = start(alias="dead", **KEYCLOAK), start(alias="healthy", **KEYCLOAK)
    dead.down = {"all"}
    answer = who(dead.access_token())
    assert answer.status == 503
    assert "try again" in answer.text
    assert who(healthy.access_token()).status == 200
    assert len(dead.calls) == 1
    assert who(dead.access_token()).status == 503
    assert len(dead.calls) == 1, "it is left in peace for a while"


def test_a_provider_that_is_slow_is_a_503_in_time(keycloak: IdentityProvider, settings: Any) -> None:
    settings.ISSUER_TIMEOUT = 0.2
    keycloak.delay = {"jwks": 1.0}
    began = time.monotonic()
    assert who(keycloak.access_token()).status == 503
    assert time.monotonic() - began < 0.9


def test_a_new_key_is_fetched_once_in_a_while_and_an_old_one_stays_good(
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


def test_a_token_without_the_groups_claim_wipes_nothing(keycloak: IdentityProvider, tenant: Tenant) -> None:
    assert who(keycloak.access_token()).json["tenants"] == [tenant.pk]
    assert who(keycloak.access_token(groups=None)).json["tenants"] == [tenant.pk]
    assert who(keycloak.access_token(groups=[])).status == 403, "an empty claim is none"
    assert not Membership.objects.exists()


def test_a_check_in_token_has_no_audience_and_its_groups_come_from_userinfo(
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


def test_a_token_of_a_client_that_many_share_may_only_read(check_in: IdentityProvider) -> None:
    token = check_in.access_token(azp="oidc-agent")
    assert who(token).json["scopes"] == ["read"]
    assert who(token, "POST").status == 403


def test_a_token_of_a_client_that_is_not_listed_is_refused(check_in: IdentityProvider) -> None:
    assert "client" in refused(check_in.access_token(azp="another"))


def test_userinfo_of_somebody_else_is_not_believed(check_in: IdentityProvider) -> None:
    check_in.userinfo_claims = {"sub": "mallory"}
    assert who(check_in.access_token()).status == 403
    assert not Membership.objects.exists()


def test_with_userinfo_down_those_who_are_known_go_on_and_new_ones_wait(
    check_in: IdentityProvider, tenant: Tenant
) -> None:
    assert who(check_in.access_token(jti="1")).status == 200
    check_in.down = {"userinfo"}
    assert who(check_in.access_token(jti="2")).json["tenants"] == [tenant.pk]
    assert who(check_in.access_token(Visitor(sub="new"))).status == 503
    assert check_in.calls.count("userinfo") == 2, "it is left in peace for a moment"


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
    assert provider.calls.count("introspect") == asked, "the same bad token again costs nothing"


@pytest.mark.parametrize(
    "claims",
    [{"aud": "another"}, {"azp": "another"}, {"token_type": "refresh_token"}, {"iss": "https://x"}, {"exp": 1}],
)
def test_an_active_opaque_token_is_judged_like_any_other(start: Any, claims: dict[str, Any]) -> None:
    provider = start("indigo-iam", introspection=True, clients=["isthmus"])
    assert refused(provider.opaque_token(**claims))


def test_without_an_issuer_that_introspects_nobody_is_asked(keycloak: IdentityProvider) -> None:
    assert "not one of ours, and no issuer" in refused(keycloak.opaque_token())
    assert keycloak.calls == []


def test_one_silent_introspection_does_not_hide_anothers_answer(start: Any) -> None:
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


def test_a_capability_token_of_no_person_is_a_program_of_the_tenant(wlcg: IdentityProvider, tenant: Tenant) -> None:
    answer = who(wlcg.access_token(sub=None, azp=None, client_id="pilot", scope="compute.read"))
    assert (answer.json["person"], answer.json["name"], answer.json["tenants"]) == (None, "pilot (idp)", [tenant.pk])
    assert not Person.objects.exists()


def test_capabilities_of_an_issuer_without_a_tenant_reach_nothing(start: Any) -> None:
    provider = start("wlcg-iam")
    answer = who(provider.access_token(scope="compute.read"))
    assert answer.status == 403
    assert "no tenant" in answer.text


def test_capabilities_end_with_their_tenant(wlcg: IdentityProvider, tenant: Tenant) -> None:
    token = wlcg.access_token(scope="compute.read")
    assert who(token).status == 200
    Tenant.objects.filter(pk=tenant.pk).update(enabled=False)
    assert who(token).status == 403


def test_a_token_without_capabilities_goes_by_groups(start: Any, tenant: Tenant) -> None:
    provider = start("wlcg-iam", rules=[_group("/vo")], clients=["portal"])
    provider.visitor = Visitor(claims={"wlcg.groups": ["/vo", "/vo/prod"]})
    token = provider.access_token(scope="openid wlcg.groups", azp="portal")
    assert who(token, "POST").json["tenants"] == [tenant.pk]


def test_a_clients_own_token_is_a_person_of_its_own(keycloak: IdentityProvider, tenant: Tenant) -> None:
    token = keycloak.access_token(
        Visitor(sub="f00"), preferred_username="service-account-pipeline", azp="pipeline", groups=["/vo"]
    )
    assert who(token, "POST").json["name"] == "service-account-pipeline"
    assert Person.objects.get().subject == "f00"


def test_a_foreign_token_does_not_open_the_wire(keycloak: IdentityProvider) -> None:
    assert call("POST", "/updateCache", token=keycloak.access_token()).status == 403
    assert call("POST", "/status", b"[]", token=keycloak.access_token()).status == 401


@pytest.mark.django_db(transaction=True)
def test_people_arrive_behind_row_security(keycloak: IdentityProvider, tenant: Tenant) -> None:
    with as_web_role():
        assert who(keycloak.access_token(), "POST").json["tenants"] == [tenant.pk]


@pytest.mark.django_db(transaction=True)
def test_somebody_new_who_calls_several_times_at_once_is_one_person(keycloak: IdentityProvider) -> None:
    texts = [keycloak.access_token(jti=str(number)) for number in range(8)]
    assert at_once(*[lambda text=text: who(text).status for text in texts]) == [200] * 8
    assert Person.objects.count() == 1
    assert Membership.objects.count() == 1


def test_programs_of_two_issuers_with_one_name_are_two_callers(start: Any, tenant: Tenant) -> None:
    """What is kept and counted for one of them must not be the other's: they serve different tenants."""
    make_tenant(slug="others")
    one, other = start("wlcg-iam", alias="one", tenant="vo"), start("wlcg-iam", alias="other", tenant="others")
    told = [
        authenticate.memory.caller(
            each.access_token(sub=None, azp=None, client_id="pilot", scope="compute.read"), now=timezone.now()
        )
        for each in (one, other)
    ]
    assert told[0].actor != told[1].actor
