"""Keycloak leaves out a claim that would be empty; other issuers leave out claims that nobody requested."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.auth.oidc.claim_values import Source, whole, with_empty_claims
from controlplane.auth.oidc.issuer import PROFILES, Issuer

ALL = "openid profile email groups entitlements eduperson_entitlement"


def issuer(**fields: Any) -> Issuer:
    return Issuer(
        alias="keycloak", name="Keycloak", profile=PROFILES["keycloak"], issuer="https://login.example.org",
        client_id="isthmus", client_secret="", namespaces=frozenset({"urn:mace:egi.eu"}), **fields,
    )  # fmt: skip


def test_a_missing_claim_with_a_granted_scope_is_empty() -> None:
    found = with_empty_claims(issuer(leaves_out_empty=True), {"sub": "ada"}, granted=ALL)
    assert found["groups"] == []
    assert whole(issuer(), found) >= {Source.GROUPS, Source.ENTITLEMENTS}


@pytest.mark.parametrize("granted", ["", "openid profile email", "openid groups-of-others"])
def test_a_missing_claim_without_its_scope_stays_unknown(granted: str) -> None:
    assert with_empty_claims(issuer(leaves_out_empty=True), {"sub": "ada"}, granted=granted) == {"sub": "ada"}


def test_for_other_issuers_a_missing_claim_stays_unknown() -> None:
    assert with_empty_claims(issuer(), {"sub": "ada"}, granted=ALL) == {"sub": "ada"}


def test_a_present_claim_is_used_as_it_is() -> None:
    claims = {"groups": ["/climate"], "entitlements": "no list"}
    assert with_empty_claims(issuer(leaves_out_empty=True), claims, granted=ALL) == {
        **claims,
        "eduperson_entitlement": [],
    }
