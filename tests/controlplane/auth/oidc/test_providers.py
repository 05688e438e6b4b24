"""Discovery, keys, userinfo and introspection with an issuer that answers well, badly, late or not at all."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from joserfc.jwk import OctKey, RSAKey

from controlplane import remembered
from controlplane.auth.oidc import issuer_file, providers, signatures
from controlplane.errors import Unauthenticated, Unavailable
from tests.identity_provider import IdentityProvider, running
from tests.issuers import write

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from controlplane.auth.oidc.issuer import Issuer


@pytest.fixture
def provider(settings: Any) -> Iterator[IdentityProvider]:
    settings.ISSUER_TIMEOUT = 0.5
    with running("wlcg-iam") as one:
        yield one
    remembered.forget_everything()


@pytest.fixture
def issuer(provider: IdentityProvider, tmp_path: Path) -> Issuer:
    [one] = issuer_file.read_issuers(write(tmp_path, provider.configuration()))
    return one


def test_published_data_is_fetched_once(provider: IdentityProvider, issuer: Issuer) -> None:
    for _ in range(3):
        assert providers.metadata(issuer).announces_iss
        assert [key.kid for key in providers.keys(issuer)] == [provider.keys[0].kid]
    assert sorted(provider.calls) == [".well-known/openid-configuration", "jwks"]


def test_old_data_stays_valid_while_the_issuer_is_down(
    provider: IdentityProvider, issuer: Issuer, settings: Any
) -> None:
    settings.ISSUER_MEMORY = settings.ISSUER_RETRY = 0
    known = providers.keys(issuer)
    provider.down = {"all"}
    assert providers.keys(issuer) == known
    assert providers.metadata(issuer).jwks_uri.endswith("/jwks")


def test_outdated_data_is_fetched_again(provider: IdentityProvider, issuer: Issuer, settings: Any) -> None:
    settings.ISSUER_MEMORY = settings.ISSUER_RETRY = 0
    providers.keys(issuer)
    provider.rotate()
    assert [key.kid for key in providers.keys(issuer)] == [provider.keys[0].kid]


def test_an_unknown_key_is_fetched_but_not_for_every_token(
    provider: IdentityProvider, issuer: Issuer, settings: Any
) -> None:
    settings.ISSUER_RETRY = 30
    providers.keys(issuer)
    provider.rotate()
    token = provider.sign({"sub": "x"})
    for _ in range(3):
        with pytest.raises(Unauthenticated, match="does not publish"):
            signatures.signed(issuer, token)
    assert provider.calls.count("jwks") == 1
    settings.ISSUER_RETRY = 0
    assert signatures.signed(issuer, token)[1] == {"sub": "x"}
    assert provider.calls.count("jwks") == 2


def test_a_silent_issuer_is_unavailable_and_then_not_called_for_a_while(
    provider: IdentityProvider, issuer: Issuer
) -> None:
    provider.down = {"all"}
    for _ in range(3):
        with pytest.raises(Unavailable, match="Issuer idp does not answer"):
            providers.metadata(issuer)
    assert len(provider.calls) == 1


def test_a_slow_issuer_times_out(provider: IdentityProvider, issuer: Issuer, settings: Any) -> None:
    settings.ISSUER_TIMEOUT = 0.2
    provider.delay = {".well-known/openid-configuration": 1.0}
    began = time.monotonic()
    with pytest.raises(Unavailable):
        providers.metadata(issuer)
    assert time.monotonic() - began < 0.9


def test_an_issuer_that_sends_byte_by_byte_times_out(provider: IdentityProvider, issuer: Issuer, settings: Any) -> None:
    settings.ISSUER_TIMEOUT = 0.2
    provider.drip = 0.02
    began = time.monotonic()
    with pytest.raises(Unavailable):
        providers.metadata(issuer)
    assert time.monotonic() - began < 2


def test_one_dead_issuer_does_not_delay_another(provider: IdentityProvider, issuer: Issuer, tmp_path: Path) -> None:
    provider.down = {"all"}
    with running() as healthy:
        [other] = issuer_file.read_issuers(write(tmp_path, healthy.configuration("other")))
        with pytest.raises(Unavailable):
            providers.metadata(issuer)
        assert providers.metadata(other).token_endpoint == f"{healthy.issuer}/token"


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://evil.example.org"},
        {"issuer": None},
        {"jwks_uri": "http://evil.example.org/jwks"},
        {"token_endpoint": None},
        {"token_endpoint": ["https://a", "https://b"]},
        {"userinfo_endpoint": "file:///etc/passwd"},
    ],
)
def test_discovery_with_another_issuer_or_unsafe_endpoints_is_refused(
    provider: IdentityProvider, issuer: Issuer, change: dict[str, Any]
) -> None:
    provider.metadata = change
    with pytest.raises(Unavailable):
        providers.metadata(issuer)


def test_a_redirect_is_not_followed(provider: IdentityProvider, issuer: Issuer) -> None:
    provider.metadata = {"jwks_uri": f"{provider.issuer}/logout?post_logout_redirect_uri={provider.issuer}/jwks"}
    with pytest.raises(Unavailable):
        providers.keys(issuer)
    assert "jwks" not in provider.calls


def test_too_large_an_answer_is_not_read(provider: IdentityProvider, issuer: Issuer) -> None:
    provider.padding = 2 * 1024 * 1024
    with pytest.raises(Unavailable):
        providers.userinfo(issuer, provider.opaque_token())


def test_userinfo_describes_its_subject_and_another_subject_is_refused(
    provider: IdentityProvider, issuer: Issuer
) -> None:
    assert provider.visitor
    assert providers.userinfo(issuer, provider.opaque_token())["sub"] == provider.visitor.sub
    with pytest.raises(Unauthenticated):
        providers.userinfo(issuer, "made up")


def test_introspection_distinguishes_active_and_inactive_tokens(provider: IdentityProvider, issuer: Issuer) -> None:
    assert providers.introspect(issuer, provider.opaque_token())["active"] is True
    assert providers.introspect(issuer, provider.opaque_token(active=False))["active"] is False
    assert providers.introspect(issuer, "made up") == {"active": False}


def test_introspection_without_an_endpoint_is_unavailable(provider: IdentityProvider, issuer: Issuer) -> None:
    provider.metadata = {"introspection_endpoint": None}
    with pytest.raises(Unavailable):
        providers.introspect(issuer, "anything")


def test_the_client_secret_is_sent_in_the_form_if_basic_is_not_supported(
    provider: IdentityProvider, issuer: Issuer
) -> None:
    provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert providers.introspect(issuer, provider.opaque_token())["active"] is True


def test_only_our_algorithms_and_the_issuers_keys_are_accepted(provider: IdentityProvider, issuer: Issuer) -> None:
    stranger = RSAKey.generate_key(2048, {"kid": str(provider.keys[0].kid)})
    shared = OctKey.generate_key(256, {"kid": str(provider.keys[0].kid)})
    whole = provider.sign({"sub": "x"})
    head, body, signature = whole.split(".")
    unsigned = "eyJhbGciOiJub25lIn0." + body + "."
    bad = [
        provider.sign({"sub": "x"}, key=stranger),
        provider.sign({"sub": "x"}, alg="RS512"),
        provider.sign({"sub": "x"}, key=shared, alg="HS256"),
        unsigned, f"{head}.{body}.", f"{head}.{body}", "", "a.b.c", "ø.ø.ø", f"{head}.{body[:-4]}.{signature}",
        whole + "x" * 9000,
    ]  # fmt: skip
    for token in bad:
        with pytest.raises(Unauthenticated):
            signatures.signed(issuer, token)
    assert signatures.signed(issuer, whole)[1] == {"sub": "x"}
