"""Access tokens that Keycloak issued to other clients, used at the REST API of the service as production runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests

from deploy.people import PEOPLE

if TYPE_CHECKING:
    from tests.backends.keycloak import Keycloak
    from tests.kills.stack import Stack


@pytest.mark.parametrize("someone", PEOPLE, ids=lambda each: each.name)
def test_a_persons_token_shows_their_identity_and_rights(stack: Stack, keycloak: Keycloak, someone: Any) -> None:
    told = me(stack, keycloak.token_of(someone.name)).json()
    assert told["name"] == f"{someone.given_name} {someone.family_name}"
    assert told["issuer"] == keycloak.realm()
    held = [(role["role"], None) for role in told["roles"]]
    held += [(role, tenant["slug"]) for tenant in told["tenants"] for role in tenant["roles"]]
    assert ((someone.role, someone.tenant) in held) is (someone.role is not None)
    assert bool(held) is (someone.role is not None)


def test_an_entitlement_outside_its_issuers_namespace_gives_nothing(stack: Stack, keycloak: Keycloak) -> None:
    told = me(stack, keycloak.token_of("intruder", realm="isthmus2")).json()
    assert (told["roles"], told["tenants"]) == ([], [])


def test_the_same_name_at_another_issuer_is_another_person(stack: Stack, keycloak: Keycloak) -> None:
    told = me(stack, keycloak.token_of("vo1-member", realm="isthmus2")).json()
    assert [tenant["slug"] for tenant in told["tenants"]] == ["second"]


def test_a_program_without_a_person_is_known_and_has_no_rights(stack: Stack, keycloak: Keycloak) -> None:
    answer = me(stack, keycloak.service_token())
    assert answer.status_code == 200
    assert (answer.json()["roles"], answer.json()["tenants"]) == ([], [])


def test_a_silent_issuer_delays_no_token_of_an_issuer_with_known_keys(stack: Stack, keycloak: Keycloak) -> None:
    known, new = keycloak.token_of("vo1-member"), keycloak.token_of("vo1-member")
    assert me(stack, known).status_code == 200
    with keycloak.paused():
        assert me(stack, known).status_code == 200
        assert me(stack, new).status_code == 200


def test_a_token_whose_signature_was_changed_is_refused(stack: Stack, keycloak: Keycloak) -> None:
    head, body, signature = keycloak.token_of("vo1-member").split(".")
    other = keycloak.token_of("fed-operator").split(".")[1]
    assert me(stack, f"{head}.{other}.{signature}").status_code == 401
    assert body != other


def me(stack: Stack, token: str) -> requests.Response:
    return requests.get(f"{stack.url}/api/v1/me", headers={"Authorization": f"Bearer {token}"}, timeout=30)
