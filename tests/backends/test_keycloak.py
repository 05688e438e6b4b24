"""The realm files match the list of people, Keycloak has imported them, and its people can be changed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import requests
from joserfc.jws import extract_compact

from deploy.keycloak import realms
from deploy.people import PEOPLE
from tests.backends.fixtures import keycloak

if TYPE_CHECKING:
    from tests.backends.keycloak import Keycloak

__all__ = ["keycloak"]


@pytest.mark.parametrize("name", realms.documents())
def test_a_committed_realm_matches_the_drawn_one(name: str) -> None:
    drawn = realms.documents()[name]
    assert (realms.FOLDER / name).read_text() == drawn, "draw it again: python -m deploy.keycloak.realms"


@pytest.mark.parametrize("name", realms.documents())
def test_a_realm_file_holds_no_password_and_no_secret(name: str) -> None:
    realm = json.loads(realms.documents()[name])
    values = [user["credentials"][0]["value"] for user in realm["users"]]
    values += [client["secret"] for client in realm["clients"] if "secret" in client]
    assert set(values) == {"${KEYCLOAK_PEOPLE_PASSWORD}", "${KEYCLOAK_CLIENT_SECRET}"}


@pytest.mark.parametrize("someone", PEOPLE, ids=lambda someone: someone.name)
def test_a_token_carries_its_persons_entitlements(keycloak: Keycloak, someone: Any) -> None:
    claims = claims_of(keycloak.token_of(someone.name))
    assert claims["iss"] == keycloak.realm()
    assert claims["aud"] == "isthmus-api"
    assert set(claims.get("entitlements", [])) == set(someone.entitlements)
    assert set(claims.get("groups", [])) == set(someone.groups)


def test_the_same_name_in_the_other_realm_is_another_subject(keycloak: Keycloak) -> None:
    here, there = keycloak.token_of("vo1-member"), keycloak.token_of("vo1-member", realm="isthmus2")
    assert claims_of(here)["email"] == claims_of(there)["email"]
    assert claims_of(here)["sub"] != claims_of(there)["sub"]


def test_a_change_of_a_person_ends_with_its_block(keycloak: Keycloak) -> None:
    with keycloak.changed("vo2-member", groups=[], attributes={}):
        changed = claims_of(keycloak.token_of("vo2-member"))
    # Keycloak leaves out a claim that would be empty. For us, a missing claim changes nothing.
    assert changed.keys().isdisjoint({"groups", "entitlements"})
    again = claims_of(keycloak.token_of("vo2-member"))
    assert again["groups"] == ["/climate.example.org"]
    assert len(again["entitlements"]) == 1


def test_a_paused_keycloak_is_silent_and_comes_back(keycloak: Keycloak) -> None:
    with keycloak.paused(), pytest.raises(requests.Timeout):
        requests.get(keycloak.realm(), timeout=0.5)
    assert keycloak.answers()


def claims_of(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = json.loads(extract_compact(token.encode()).payload)
    return claims
