"""People log in through a real Keycloak, with a real browser, to the service as production runs it."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from deploy.people import PEOPLE
from tests.browser.visitor import CALLBACK

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg
    from playwright.sync_api import Route

    from tests.backends.keycloak import Keycloak
    from tests.browser.visitor import Visitor

SECOND = "A second organisation"


@pytest.mark.parametrize("someone", [each for each in PEOPLE if each.tenant], ids=lambda each: each.name)
def test_a_member_sees_the_membership_and_the_rule_that_gave_it(visitor: Visitor, someone: Any) -> None:
    visitor.log_in(someone.name)
    assert visitor.reads(f"{someone.given_name} {someone.family_name}")
    assert visitor.reads(f"{someone.tenant}-{someone.role}s")


@pytest.mark.parametrize("name", ["fed-operator", "fed-auditor", "site-operator"])
def test_an_operator_sees_the_role_and_the_rule_that_gave_it(
    visitor: Visitor, database: psycopg.Connection, name: str
) -> None:
    visitor.log_in(name)
    role = {each.name: each.role for each in PEOPLE}[name]
    rule = {"fed-operator": "federation-operators", "fed-auditor": "federation-auditors"}.get(name, "site-operators")
    assert visitor.reads(rule)
    assert roles_of(database, name) == [role]


def test_a_person_without_entitlements_is_let_in_without_rights(visitor: Visitor, database: psycopg.Connection) -> None:
    visitor.log_in("no-entitlement")
    assert visitor.reads("No Entitlement")
    assert roles_of(database, "no-entitlement") == []


def test_the_same_name_and_address_at_another_issuer_is_another_person(
    visitor: Visitor, database: psycopg.Connection
) -> None:
    visitor.log_in("vo1-member")
    visitor.page.context.clear_cookies()
    visitor.log_in("vo1-member", issuer=SECOND)
    assert visitor.reads("second-managers")
    assert not visitor.reads("vo-example-members")
    rows = database.execute("SELECT issuer FROM tenants_person WHERE email = 'vo1-member@example.org'").fetchall()
    assert sorted(issuer.rpartition("/")[2] for (issuer,) in rows) == ["isthmus", "isthmus2"]


def test_an_entitlement_outside_its_issuers_namespace_gives_nothing(
    visitor: Visitor, database: psycopg.Connection
) -> None:
    visitor.log_in("intruder", issuer=SECOND)
    assert visitor.reads("Intruder")
    assert roles_of(database, "intruder") == []


def test_a_removed_group_removes_its_membership_at_the_next_login(
    visitor: Visitor, keycloak: Keycloak, database: psycopg.Connection
) -> None:
    visitor.log_in("vo2-manager")
    assert roles_of(database, "vo2-manager") == ["manager", "member"]
    visitor.page.context.clear_cookies()
    with keycloak.changed("vo2-manager", groups=["/climate.example.org"]):
        visitor.log_in("vo2-manager")
    assert roles_of(database, "vo2-manager") == ["member"]
    assert not visitor.reads("climate-managers")


def test_removing_the_last_group_removes_its_membership_too(
    visitor: Visitor, keycloak: Keycloak, database: psycopg.Connection
) -> None:
    visitor.log_in("vo2-member")
    assert roles_of(database, "vo2-member") == ["member"]
    visitor.page.context.clear_cookies()
    with keycloak.changed("vo2-member", groups=[]):
        visitor.log_in("vo2-member")
    assert roles_of(database, "vo2-member") == []


def test_logging_out_ends_the_session_at_the_issuer_as_well(visitor: Visitor) -> None:
    visitor.log_in("vo1-member")
    visitor.log_out()
    visitor.open("/account/")
    assert not visitor.reads("vo-example-members")
    visitor.choose("Keycloak")
    assert visitor.is_asked_for_password


def test_without_logout_the_issuer_still_knows_the_person(visitor: Visitor) -> None:
    visitor.log_in("vo1-member")
    visitor.page.context.clear_cookies(name="sessionid")
    visitor.choose("Keycloak")
    visitor.page.wait_for_load_state()
    visitor.open("/account/")
    assert visitor.reads("vo-example-members")


def test_a_person_who_refuses_consent_reads_so_and_is_not_logged_in(visitor: Visitor, keycloak: Keycloak) -> None:
    with keycloak.asking_for_consent():
        visitor.choose("Keycloak")
        visitor.give_password("vo1-member")
        with visitor.page.expect_navigation(url=CALLBACK) as arrived:
            visitor.page.locator("[name=cancel]").click()
    assert arrived.value
    assert arrived.value.status < 500
    assert visitor.is_told_to_try_again
    visitor.open("/account/")
    assert "/login/" in visitor.page.url


def test_a_reopened_callback_is_refused_with_a_sentence(visitor: Visitor) -> None:
    seen: list[str] = []
    visitor.page.on("request", lambda request: seen.append(request.url) if CALLBACK.search(request.url) else None)
    visitor.log_in("vo1-member")
    assert len(seen) == 1
    assert parse_qs(urlsplit(seen[0]).query).keys() >= {"code", "state"}
    answer = visitor.page.goto(seen[0])
    assert answer
    assert 400 <= answer.status < 500
    assert visitor.is_told_to_try_again


def test_the_back_button_after_a_login_breaks_nothing(visitor: Visitor) -> None:
    visitor.choose("Keycloak")
    visitor.give_password("vo1-member")
    visitor.page.wait_for_load_state()
    visitor.page.go_back()
    visitor.open("/account/")
    assert visitor.reads("vo-example-members")


def test_an_unreachable_issuer_is_reported_and_the_others_still_work(visitor: Visitor) -> None:
    visitor.choose("An issuer that is gone")
    visitor.page.wait_for_load_state()
    assert visitor.reads("does not answer")
    visitor.log_in("vo1-member")
    assert visitor.reads("vo-example-members")


def test_an_issuer_that_falls_silent_during_a_login_is_reported(visitor: Visitor, keycloak: Keycloak) -> None:
    visitor.choose("Keycloak")
    with silent_after_the_password(visitor, keycloak):
        with visitor.page.expect_navigation(url=CALLBACK) as arrived:
            visitor.give_password("vo1-member")
        assert arrived.value
        assert arrived.value.status == 503
        assert visitor.reads("does not answer")
    visitor.page.get_by_role("link", name="Try again").click()
    visitor.page.get_by_role("link", name="Keycloak", exact=True).click()
    visitor.page.wait_for_url("**/account/")  # Keycloak remembers the password
    assert visitor.reads("vo-example-members")


@contextmanager
def silent_after_the_password(visitor: Visitor, keycloak: Keycloak) -> Iterator[None]:
    """Let Keycloak accept the password and send the browser back with a code, and then answer nothing."""
    with ExitStack() as silence:

        def answer(route: Route) -> None:
            back = route.fetch(max_redirects=0)
            silence.enter_context(keycloak.paused())
            route.fulfill(response=back)

        visitor.page.route("**/login-actions/**", answer)
        yield
        visitor.page.unroute("**/login-actions/**")


def roles_of(database: psycopg.Connection, name: str) -> list[str]:
    """Return every role of a person of deploy/people.py, in tenants and beyond."""
    held = database.execute(
        """SELECT role FROM tenants_membership JOIN tenants_person p ON p.id = person_id WHERE email = %(email)s
           UNION ALL
           SELECT role FROM tenants_rolegrant JOIN tenants_person p ON p.id = person_id WHERE email = %(email)s
           ORDER BY role""",
        {"email": f"{name}@example.org"},
    )
    return [role for (role,) in held]
