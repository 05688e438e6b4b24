"""Which claims make a good access token for us, and what it may do: one test per rule."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane.auth.oidc import access_tokens
from controlplane.auth.oidc.access_tokens import WLCG_ANY, Access
from controlplane.auth.oidc.issuer import PROFILES, Issuer
from controlplane.errors import InvalidToken

NOW = time.time()


def issuer(profile: str = "keycloak", **fields: Any) -> Issuer:
    known: dict[str, Any] = {
        "alias": "idp", "name": "IdP", "issuer": "https://idp.example.org", "client_id": "isthmus",
        "client_secret": "x", "audiences": frozenset({"isthmus-api"}), "clients": frozenset({"isthmus"}),
        "shared_clients": frozenset({"oidc-agent"}),
    }  # fmt: skip
    return Issuer(profile=PROFILES[profile], **{**known, **fields})


def claims(**fields: Any) -> dict[str, Any]:
    """Return the claims of a good access token; a claim given as None is left out."""
    known = {"iss": "https://idp.example.org", "sub": "ada", "aud": "isthmus-api", "exp": NOW + 300, "iat": NOW}
    return {name: value for name, value in {**known, **fields}.items() if value is not None}


def judge(found: dict[str, Any], *, of: Issuer | None = None, **header: Any) -> Access:
    return access_tokens.judge(of or issuer(), found, header=header, now=NOW)


def test_a_token_for_us_is_its_subjects_without_restriction() -> None:
    assert judge(claims(azp="portal")) == Access("ada", "portal", NOW + 300, None, by_capability=False)


@pytest.mark.parametrize(
    ("change", "is_good"),
    [
        ({"exp": NOW - 59}, True),
        ({"exp": NOW - 61}, False),
        ({"iat": NOW + 59}, True),
        ({"iat": NOW + 61}, False),
        ({"nbf": NOW + 59}, True),
        ({"nbf": NOW + 61}, False),
        ({"exp": "tomorrow"}, False),
        ({"exp": True}, False),
        ({"exp": float("inf")}, False),
        ({"exp": float("nan")}, False),
        ({"exp": 10**400}, False),
        ({"exp": -1}, False),
        ({"iat": []}, False),
    ],
)
def test_a_clock_difference_of_a_minute_is_accepted(change: dict[str, Any], is_good: bool) -> None:  # noqa: FBT001  (a parameter)
    if is_good:
        assert judge(claims(**change)).subject == "ada"
    else:
        with pytest.raises(InvalidToken):
            judge(claims(**change))


@pytest.mark.parametrize(
    ("change", "header"),
    [
        ({"typ": "ID"}, {}),
        ({"typ": "Refresh"}, {}),
        ({"typ": "Offline"}, {}),
        ({"typ": "Logout"}, {}),
        ({"token_type": "refresh_token"}, {}),
        ({"nonce": "n"}, {}),
        ({"at_hash": "h"}, {}),
        ({"c_hash": "h"}, {"typ": "JWT"}),
        ({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}, {"typ": "at+jwt"}),
        ({}, {"typ": "logout+jwt"}),
        ({}, {"typ": "dpop+jwt"}),
        ({}, {"typ": 7}),
        ({"typ": ["Bearer"]}, {}),
        ({"aud": "isthmus"}, {}),  # looks like an ID token of an issuer with few claims
    ],
)
def test_id_refresh_and_logout_tokens_are_not_access_tokens(change: dict[str, Any], header: dict[str, Any]) -> None:
    ours = issuer(audiences=frozenset({"isthmus-api", "isthmus"}))
    with pytest.raises(InvalidToken, match="Not an access token"):
        judge(claims(**change), of=ours, **header)


@pytest.mark.parametrize(
    ("change", "header"),
    [
        ({"typ": "Bearer"}, {"typ": "JWT"}),
        ({"typ": "Bearer", "nonce": "of an older Keycloak"}, {"typ": "JWT"}),
        ({}, {"typ": "at+jwt"}),
        ({}, {"typ": "application/at+jwt"}),
        ({"aud": "isthmus", "scope": "openid"}, {}),
    ],
)
def test_access_tokens_are_accepted(change: dict[str, Any], header: dict[str, Any]) -> None:
    ours = issuer(audiences=frozenset({"isthmus-api", "isthmus"}))
    assert judge(claims(**change), of=ours, **header).subject == "ada"


@pytest.mark.parametrize(
    "audience", ["another", ["another", "account"], [], {}, 7, "isthmus-api2", "ISTHMUS-API", WLCG_ANY]
)
def test_a_token_for_another_audience_is_refused_even_from_our_own_client(audience: Any) -> None:
    with pytest.raises(InvalidToken, match="another service"):
        judge(claims(aud=audience, azp="isthmus"))


def test_an_audience_list_that_includes_us_is_accepted() -> None:
    assert judge(claims(aud=["account", "isthmus-api"], azp="oidc-agent")).scopes is None


def test_without_an_audience_the_client_decides() -> None:
    assert judge(claims(aud=None, azp="isthmus")).scopes is None
    assert judge(claims(aud=None, client_id="isthmus")).scopes is None
    for change in ({"azp": "another"}, {"azp": None}, {"azp": ["isthmus"]}, {"azp": ""}):
        with pytest.raises(InvalidToken, match="client"):
            judge(claims(aud=None, **change))


@pytest.mark.parametrize("clients", [{"isthmus"}, {"isthmus", "oidc-agent"}])
def test_a_token_of_a_shared_client_may_only_read(clients: set[str]) -> None:
    ours = issuer("egi-check-in", clients=frozenset(clients))
    assert judge(claims(aud=None, azp="oidc-agent"), of=ours).scopes == frozenset({"read"})


def test_the_any_audience_is_accepted_in_the_wlcg_profile_only() -> None:
    assert judge(claims(aud=WLCG_ANY, azp="isthmus"), of=issuer("wlcg-iam")).scopes is None
    assert judge(claims(aud=WLCG_ANY, client_id="oidc-agent"), of=issuer("wlcg-iam")).scopes == frozenset({"read"})
    with pytest.raises(InvalidToken):
        judge(claims(aud=WLCG_ANY), of=issuer("indigo-iam"))


@pytest.mark.parametrize("audiences", [{"isthmus-api"}, {"isthmus-api", WLCG_ANY}])
def test_a_token_for_any_audience_may_only_read(audiences: set[str]) -> None:
    """Except tokens of clients that are configured here, and capabilities, which the issuer itself has narrowed."""
    ours = issuer("wlcg-iam", audiences=frozenset(audiences))
    for client in ("storage", "oidc-agent", None):
        assert judge(claims(aud=WLCG_ANY, azp=client), of=ours).scopes == frozenset({"read"})
    assert judge(claims(aud=WLCG_ANY, azp="pilot", scope="compute.create"), of=ours).scopes == frozenset({"submit"})
    assert judge(claims(aud=[WLCG_ANY, "isthmus-api"], azp="storage"), of=ours).scopes is None


@pytest.mark.parametrize("confirmation", [{"x5t#S256": "x"}, {"jkt": "x"}, {}, "x"])
def test_a_bound_token_is_refused_with_a_reason(confirmation: Any) -> None:
    with pytest.raises(InvalidToken, match="bound to a certificate"):
        judge(claims(cnf=confirmation))


@pytest.mark.parametrize("subject", [None, "", 7, "x" * 256, "a\0b", ["ada"]])
def test_a_token_without_a_subject_is_refused(subject: Any) -> None:
    with pytest.raises(InvalidToken, match="does not name its owner"):
        judge(claims(sub=subject))


@pytest.mark.parametrize(
    ("scope", "ours"),
    [
        ("openid compute.read", {"read"}),
        ("compute.create compute.cancel", {"submit", "cancel"}),
        ("compute.read compute.create compute.cancel compute.modify", {"read", "submit", "cancel"}),
        ("compute.modify", set()),
        ("compute.everything", set()),
        (["compute.read", 7], {"read"}),
    ],
)
def test_capabilities_decide_if_there_are_any(scope: Any, ours: set[str]) -> None:
    found = judge(claims(scope=scope, sub=None), of=issuer("wlcg-iam"))
    assert (found.by_capability, found.scopes, found.subject) == (True, frozenset(ours), "")


@pytest.mark.parametrize("scope", ["openid wlcg.groups", "storage.read:/", "xcompute.read", None, 7])
def test_other_scopes_are_not_capabilities(scope: Any) -> None:
    assert not judge(claims(scope=scope), of=issuer("wlcg-iam")).by_capability


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda some: st.lists(some) | st.dictionaries(st.text(), some),
)
_CLAIMS = [
    "aud",
    "azp",
    "client_id",
    "cnf",
    "events",
    "exp",
    "iat",
    "nbf",
    "nonce",
    "scope",
    "sub",
    "token_type",
    "typ",
]
_NAMES = st.sampled_from(_CLAIMS)


@given(st.dictionaries(_NAMES, _JSON), st.dictionaries(st.just("typ"), _JSON))
def test_any_set_of_claims_is_accepted_or_refused_without_an_error(
    found: dict[str, Any], header: dict[str, Any]
) -> None:
    try:
        judge(claims(**found), **header)
    except InvalidToken:
        return
