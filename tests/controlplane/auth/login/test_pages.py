"""The login and account pages: what they show, and what they block."""

from __future__ import annotations

import re
from datetime import timedelta
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client
from django.utils import timezone

from controlplane import remembered
from controlplane.tenants.models import Membership, Origin, Person, RoleGrant
from tests.factories import make_tenant
from tests.issuers import EGI, write

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _issuers(settings: Any, tmp_path: Path) -> None:
    remembered.forget_everything()
    second = {**EGI, "alias": "iam", "name": "<b>IAM</b>", "issuer": "https://iam.example.org/"}
    settings.ISSUERS = str(write(tmp_path, EGI, second))


@pytest.fixture
def ada() -> Person:
    return Person.objects.create(username="x", name="Ada <Lovelace>", issuer=EGI["issuer"], subject="ada@egi.eu")


def page_for(person: Person | None, path: str) -> str:
    client = Client()
    if person:
        client.force_login(person)
    answer = client.get(path)
    assert answer.status_code == 200
    return str(answer.content.decode())


class Outline(HTMLParser):
    """The tags of a page in order, with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]


def test_the_login_page_has_a_button_per_issuer_and_a_link_for_administrators() -> None:
    page = page_for(None, "/login/?next=/account/%3Fx")
    assert 'href="/oidc/egi/login/?next=%2Faccount%2F%3Fx">EGI Check-in</a>' in page
    assert "&lt;b&gt;IAM&lt;/b&gt;" in page
    assert 'href="/admin/login/?next=%2Faccount%2F%3Fx"' in page


def test_without_issuers_the_page_says_so(settings: Any) -> None:
    settings.ISSUERS = ""
    assert "only administrators can log in" in page_for(None, "/login/")


def test_the_account_page_shows_rights_and_their_source(ada: Person) -> None:
    now = timezone.now()
    tenant, lapsed = make_tenant(name="Ours"), make_tenant(name="Lapsed")
    make_tenant(name="Theirs")
    Membership.objects.create(person=ada, tenant=tenant, role="member", origin=Origin.CLAIMED, rule="the-rule")
    Membership.objects.create(person=ada, tenant=tenant, role="manager", origin=Origin.MANUAL)
    old = now - timedelta(days=31)
    Membership.objects.create(person=ada, tenant=lapsed, role="member", origin=Origin.CLAIMED, rule="r", seen_at=old)
    RoleGrant.objects.create(person=ada, role="site_operator", site="vega", origin=Origin.MANUAL)
    page = page_for(ada, "/account/")
    for words in ("Ada &lt;Lovelace&gt;", "ada@egi.eu", "EGI Check-in", "Ours", "rule the-rule", "given by hand",
                  "no longer: no login has confirmed it in time", "Site operator", "vega"):  # fmt: skip
        assert words in page, words
    assert "Theirs" not in page


def test_a_person_without_rights_reads_whom_to_ask(ada: Person) -> None:
    assert "You are not a member of any tenant." in page_for(ada, "/account/")


def test_the_root_address_redirects_to_the_account() -> None:
    assert Client().get("/")["Location"] == "/account/"


def test_the_account_page_links_to_the_api_and_for_administrators_to_the_admin(ada: Person) -> None:
    page = page_for(ada, "/account/")
    assert 'href="/api/v1/docs"' in page
    assert 'href="/admin/"' not in page
    administrator = Person.objects.create_superuser("root", password=None)
    assert 'href="/admin/"' in page_for(administrator, "/account/")


def test_an_anonymous_visitor_is_sent_to_the_login_and_back() -> None:
    assert Client().get("/account/")["Location"] == "/login/?next=/account/"


def test_a_logged_in_person_is_redirected_from_the_login_page(ada: Person) -> None:
    client = Client()
    client.force_login(ada)
    assert client.get("/login/")["Location"] == "/account/"


def test_pages_allow_no_scripts_and_no_foreign_content(ada: Person) -> None:
    client = Client()
    client.force_login(ada)
    for answer in (client.get("/account/"), Client().get("/login/"), client.get("/oidc/egi/callback/?state=x&code=y")):
        policy = answer["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'; style-src 'self';")
        assert "form-action 'self' https://aai.egi.eu https://iam.example.org" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert "no-store" in answer["Cache-Control"]
        outline = Outline(answer.content.decode())
        assert not {"script", "style", "iframe"} & set(outline.tags)
        assert not [name for name in outline.attributes if name == "style" or name.startswith("on")]


def test_pages_have_the_structure_that_screen_readers_need(ada: Person) -> None:
    for page in (page_for(ada, "/account/"), page_for(None, "/login/")):
        tags = Outline(page).tags
        assert '<html lang="en">' in page
        assert tags.count("h1") == tags.count("main") == tags.count("header") == 1
        assert re.search(r"<title>\S.* · Isthmus</title>", page)
        assert len(re.findall(r"<th(?![a-z])", page)) == len(re.findall(r'<th scope="(?:col|row)"', page))


def test_the_style_sheet_is_served() -> None:
    answer = Client().get("/static/isthmus/plain.css")
    assert b"prefers-color-scheme" in b"".join(answer)


def test_the_admin_tells_other_people_who_they_are_logged_in_as(ada: Person) -> None:
    assert "authenticated as Ada &lt;Lovelace&gt;" in page_for(ada, "/admin/login/")
