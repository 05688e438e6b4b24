"""The browser login end to end, against a provider on loopback that plays every issuer's kind, and misbehaves."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
import requests
from django.test import Client

from controlplane import remembered
from controlplane.audit.models import Event
from controlplane.tenants.models import Person, Tenant
from jobs.models import Job
from jobs.states import ENDS
from sites.models import Allocation
from tests.database_roles import as_web_role
from tests.factories import make_site, make_tenant
from tests.identity_provider import CLIENT, IdentityProvider, Visitor, running
from tests.issuers import GOC_VALUE, E, write
from tests.threads import at_once

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.django_db


@dataclass
class Browser:
    """A test client that goes to the provider and back, step by step."""

    client: Client
    alias: str = "idp"

    def leave(self, after: str = "") -> str:
        """Return the provider's address that the login button leads to."""
        answer = self.client.get(f"/oidc/{self.alias}/login/" + ("?" + urlencode({"next": after}) if after else ""))
        assert answer.status_code == 302, answer.content
        return str(answer["Location"])

    def visit(self, address: str) -> str:
        """Return our path that the provider redirects the browser to."""
        answer = requests.get(address, allow_redirects=False, timeout=5)
        parts = urlsplit(answer.headers["Location"])
        assert parts.netloc == "testserver"
        return f"{parts.path}?{parts.query}"

    def log_in(self, after: str = "") -> Any:
        return self.client.get(self.visit(self.leave(after)))

    @property
    def person(self) -> Person | None:
        key = self.client.session.get("_auth_user_id")
        return Person.objects.get(pk=key) if key else None


RULES = [
    {"name": "members", "group": "vo.a", "role": "member", "tenant": "vo-a", "give": "member"},
    {"name": "goc", "goc_role": "Site Operations Manager", "goc_site": "EXAMPLE-SITE", "site": "example",
     "give": "site_operator"},
]  # fmt: skip
MEMBER = E + "vo.a:role=member#aai.egi.eu"


@pytest.fixture(autouse=True)
def _quick(settings: Any) -> Iterator[None]:
    settings.ISSUER_TIMEOUT = 1
    settings.ISSUER_RETRY = 0
    yield
    remembered.forget_everything()


@pytest.fixture
def tenant() -> Tenant:
    return make_tenant(slug="vo-a")


@pytest.fixture
def checkin(settings: Any, tmp_path: Path, tenant: Tenant) -> Iterator[IdentityProvider]:
    with running("egi-check-in") as provider:
        provider.visitor = Visitor(claims={"entitlements": [MEMBER]})
        settings.ISSUERS = str(write(tmp_path, provider.configuration(rules=RULES)))
        yield provider


@pytest.fixture
def browser() -> Browser:
    return Browser(Client())


def sentence(answer: Any) -> str:
    """Return the page's sentence about what went wrong. Every such page offers another try."""
    page = answer.content.decode()
    assert ">Try again</a>" in page
    [found] = re.findall(r'<p role="alert">(.*)</p>', page)
    assert found.endswith(".")
    return str(found)


def refusals() -> list[str]:
    found = Event.objects.filter(verb="person.login", outcome="refused").order_by("id")
    return [each.changes["reason"] for each in found]


def test_a_person_logs_in_and_gets_what_the_claims_give(checkin: IdentityProvider, browser: Browser) -> None:
    answer = browser.log_in()
    assert (answer.status_code, answer["Location"]) == (302, "/account/")
    person = browser.person
    assert person
    assert (person.issuer, person.subject, person.name) == (checkin.issuer, "a1b2c3", "Ada Lovelace")
    assert re.fullmatch("[0-9a-f]{32}", person.username)
    assert not person.has_usable_password()
    assert [(each.tenant.slug, each.role, each.rule) for each in person.memberships.all()] == [
        ("vo-a", "member", "members")
    ]
    event = Event.objects.get(verb="person.login")
    assert (event.outcome, event.actor_id, event.address) == ("done", person.pk, "127.0.0.1")


def test_the_flow_sends_the_parameters_that_the_standards_require(checkin: IdentityProvider, browser: Browser) -> None:
    query = dict(parse_qsl(urlsplit(browser.leave()).query))
    assert query["client_id"] == CLIENT
    assert query["redirect_uri"] == "http://testserver/oidc/idp/callback/"
    assert query["code_challenge_method"] == "S256"
    assert len(query["state"]) >= 32
    assert len(query["nonce"]) >= 32
    assert query["scope"] == "openid profile email entitlements eduperson_entitlement"


def test_behind_a_proxy_the_redirect_uri_has_the_public_address(
    checkin: IdentityProvider, browser: Browser, settings: Any
) -> None:
    settings.PUBLIC_URL = "https://isthmus.example.org"
    query = parse_qs(urlsplit(browser.leave()).query)
    assert query["redirect_uri"] == ["https://isthmus.example.org/oidc/idp/callback/"]


@pytest.mark.parametrize(
    ("kind", "claims", "rule", "fields"),
    [
        ("egi-check-in", {"eduperson_entitlement": [MEMBER]}, {"group": "vo.a", "role": "member"}, {}),
        ("indigo-iam", {"groups": ["vo", "vo/prod"]}, {"group": "vo/prod"}, {}),
        ("wlcg-iam", {"wlcg.groups": ["/vo", "/vo/prod"]}, {"group": "/vo/prod"}, {}),
        (
            "aarc-iam",
            {"entitlements": ["urn:geant:iam.example:group:Analysis:Prod"]},
            {"group": "Analysis:Prod"},
            {"namespaces": ["urn:geant:iam.example"]},
        ),
        ("keycloak", {"groups": ["/vo/prod"]}, {"group": "/vo/prod"}, {}),
        ("keycloak", {"realm_access": {"roles": ["user"]}}, {"realm_role": "user"}, {}),
    ],
)
def test_every_profile_reads_its_groups(
    tenant: Tenant, browser: Browser, settings: Any, tmp_path: Path,
    kind: str, claims: dict[str, Any], rule: dict[str, Any], fields: dict[str, Any],
) -> None:  # fmt: skip
    with running(kind) as provider:
        provider.visitor = Visitor(claims=claims)
        rules = [{"name": "r", "tenant": "vo-a", "give": "manager", **rule}]
        settings.ISSUERS = str(write(tmp_path, provider.configuration(rules=rules, **fields)))
        assert browser.log_in().status_code == 302
    assert browser.person
    assert browser.person.memberships.get().role == "manager"


def test_missing_groups_are_requested_by_introspection(
    tenant: Tenant, browser: Browser, settings: Any, tmp_path: Path
) -> None:
    with running("egi-check-in") as provider:
        provider.visitor = Visitor(claims={"entitlements": [MEMBER]})
        provider.userinfo_claims = {"entitlements": None}
        settings.ISSUERS = str(write(tmp_path, provider.configuration(rules=RULES, introspection=True)))
        browser.log_in()
        assert browser.person
        assert browser.person.memberships.count() == 1
        provider.down = {"introspect"}
        assert browser.log_in().status_code == 302  # unknown, which is not the same as empty
    assert browser.person.memberships.count() == 1


def test_the_next_login_removes_ended_memberships_and_adds_new_ones(
    checkin: IdentityProvider, browser: Browser
) -> None:
    browser.log_in()
    assert checkin.visitor
    checkin.visitor = Visitor(name="Ada King", email="king@example.org", claims={"entitlements": [GOC_VALUE]})
    browser.log_in()
    person = Person.objects.get()
    assert (person.name, person.email) == ("Ada King", "king@example.org")
    assert person.memberships.count() == 0
    assert person.role_grants.get().site == "example"
    checkin.visitor = Visitor(claims={})  # without the scope
    browser.log_in()
    assert person.role_grants.count() == 1


def test_two_people_with_one_e_mail_are_two_people(checkin: IdentityProvider, browser: Browser) -> None:
    browser.log_in()
    checkin.visitor = Visitor(sub="another", claims={"entitlements": [MEMBER]})
    other = Browser(Client())
    other.log_in()
    assert browser.person != other.person
    assert browser.person
    assert other.person
    assert browser.person.email == other.person.email


def test_one_subject_at_two_issuers_is_two_people(
    checkin: IdentityProvider, browser: Browser, settings: Any, tmp_path: Path
) -> None:
    with running("egi-check-in") as second:
        second.visitor = Visitor(claims={"entitlements": [MEMBER]})
        settings.ISSUERS = str(
            write(tmp_path, checkin.configuration(rules=RULES), second.configuration("second", namespaces=[]), name="2")
        )
        browser.log_in()
        other = Browser(Client(), alias="second")
        other.log_in()
    assert browser.person != other.person
    assert other.person
    assert other.person.memberships.count() == 0


def test_each_login_gets_a_new_session_key_and_ends_after_eight_hours(
    checkin: IdentityProvider, browser: Browser, settings: Any
) -> None:
    back = browser.visit(browser.leave())
    before = browser.client.session.session_key
    browser.client.get(back)
    first = browser.client.session.session_key
    browser.log_in()
    assert len({before, first, browser.client.session.session_key}) == 3
    cookie = browser.client.cookies["sessionid"]
    assert (cookie["max-age"], cookie["samesite"], cookie["httponly"]) == (8 * 3600, "Lax", True)


def test_next_only_leads_to_pages_of_this_service(checkin: IdentityProvider, browser: Browser) -> None:
    assert browser.log_in("/admin/")["Location"] == "/admin/"
    for elsewhere in ("https://evil.example.org/", "//evil.example.org", "javascript:alert(1)", "/\\evil.example.org"):
        assert browser.log_in(elsewhere)["Location"] == "/account/"
        page = Client().get("/login/", {"next": elsewhere}).content.decode()
        assert "evil" not in page
        assert "alert" not in page


def test_two_tabs_can_log_in_at_the_same_time(checkin: IdentityProvider, browser: Browser) -> None:
    first, second = browser.visit(browser.leave("/account/?1")), browser.visit(browser.leave("/account/?2"))
    assert browser.client.get(second)["Location"] == "/account/?2"
    assert browser.client.get(first)["Location"] == "/account/?1"


def test_a_state_works_once_and_only_in_its_own_browser(checkin: IdentityProvider, browser: Browser) -> None:
    back = browser.visit(browser.leave())
    assert "not started in this browser" in sentence(Client().get(back))
    assert browser.client.get(back).status_code == 302
    replayed = browser.client.get(back)
    assert replayed.status_code == 400
    assert "used before" in sentence(replayed)
    forged = browser.client.get("/oidc/idp/callback/?state=forged&code=x")
    assert forged.status_code == 400
    assert browser.client.get("/oidc/idp/callback/").status_code == 400
    assert len(refusals()) == 4


def test_a_state_of_one_issuer_is_refused_for_another(
    checkin: IdentityProvider, browser: Browser, settings: Any, tmp_path: Path
) -> None:
    settings.ISSUERS = str(
        write(tmp_path, checkin.configuration(), checkin.configuration("twin", issuer=checkin.issuer + "/x"), name="2")
    )
    back = browser.visit(browser.leave())
    assert "not started" in sentence(browser.client.get(back.replace("/idp/", "/twin/")))
    assert "token" not in checkin.calls


@pytest.mark.parametrize("iss", ["https://evil.example.org", None, ""])
def test_an_answer_of_the_wrong_issuer_is_refused_before_its_code_is_sent(
    checkin: IdentityProvider, browser: Browser, iss: str | None
) -> None:
    checkin.callback = {"iss": iss}
    answer = browser.log_in()
    assert "does not come from Issuer idp" in sentence(answer)
    assert "token" not in checkin.calls
    assert browser.person is None


def test_an_issuer_that_does_not_announce_iss_may_omit_it_but_must_not_send_anothers(
    checkin: IdentityProvider, browser: Browser
) -> None:
    checkin.announces_iss = False
    assert browser.log_in().status_code == 302
    checkin.callback = {"iss": "https://evil.example.org"}
    assert browser.log_in().status_code == 400


def test_a_person_who_cancels_reads_that(checkin: IdentityProvider, browser: Browser) -> None:
    checkin.visitor = None
    answer = browser.log_in()
    assert answer.status_code == 403
    assert "cancelled" in sentence(answer)
    assert b"by the user" not in answer.content  # the issuer's own text is not shown


def test_other_errors_of_the_issuer_are_shown_as_a_sentence(checkin: IdentityProvider, browser: Browser) -> None:
    checkin.callback = {"error": "server_error", "code": None}
    assert "did not log you in" in sentence(browser.log_in())
    checkin.callback = {"code": None}
    assert "did not log you in" in sentence(browser.log_in())


@pytest.mark.parametrize(
    ("claims", "word"),
    [
        ({"iss": "https://evil.example.org"}, "another issuer"),
        ({"aud": "somebody-else"}, "another service"),
        ({"aud": ["isthmus", "other"], "azp": None}, "another service"),
        ({"aud": None}, "another service"),
        ({"azp": "other"}, "another service"),
        ({"exp": 1}, "expired"),
        ({"exp": None}, "expired"),
        ({"exp": "tomorrow"}, "expired"),
        ({"iat": 4e9}, "future"),
        ({"nbf": 4e9}, "future"),
        ({"nonce": "another"}, "another login"),
        ({"nonce": None}, "another login"),
        ({"nonce": 5}, "another login"),
        ({"sub": None}, "`sub`"),
        ({"sub": ""}, "`sub`"),
        ({"sub": "x" * 256}, "`sub`"),
        ({"sub": "a\x00b"}, "`sub`"),
        ({"typ": "Logout"}, "another kind"),
    ],
)
def test_an_invalid_id_token_logs_nobody_in(
    checkin: IdentityProvider, browser: Browser, claims: dict[str, Any], word: str
) -> None:
    checkin.id_claims = claims
    answer = browser.log_in()
    assert answer.status_code == 403
    assert word in sentence(answer)
    assert not Person.objects.exists()
    assert len(refusals()) == 1


def test_userinfo_of_another_subject_logs_nobody_in(checkin: IdentityProvider, browser: Browser) -> None:
    checkin.userinfo_claims = {"sub": "somebody else"}
    assert "two people" in sentence(browser.log_in())
    checkin.userinfo_claims = {"sub": None}
    assert browser.log_in().status_code == 403
    assert not Person.objects.exists()


@pytest.mark.parametrize(("skew", "status"), [(50, 302), (-50, 302), (120, 403), (-500, 403)])
def test_a_clock_difference_under_a_minute_is_accepted(
    checkin: IdentityProvider, browser: Browser, skew: int, status: int
) -> None:
    checkin.skew = skew
    assert browser.log_in().status_code == status


def test_rotated_keys_are_found_at_the_next_login(checkin: IdentityProvider, browser: Browser) -> None:
    browser.log_in()
    checkin.rotate()
    assert browser.log_in().status_code == 302


def test_a_stolen_code_is_worthless_without_its_verifier(checkin: IdentityProvider, browser: Browser) -> None:
    stolen = dict(parse_qsl(urlsplit(browser.visit(browser.leave())).query))["code"]
    thief = Browser(Client())
    back = urlsplit(thief.visit(thief.leave()))
    query = dict(parse_qsl(back.query)) | {"code": stolen}
    answer = thief.client.get(f"{back.path}?{urlencode(query)}")
    assert answer.status_code == 403
    assert thief.person is None


@pytest.mark.parametrize("end", [".well-known/openid-configuration", "token", "userinfo", "jwks"])
def test_an_issuer_that_is_down_is_a_503_with_a_sentence(checkin: IdentityProvider, browser: Browser, end: str) -> None:
    if end.startswith("."):
        checkin.down = {"all"}
        answer = browser.client.get("/oidc/idp/login/")
    else:
        back = browser.visit(browser.leave())
        checkin.down = {end}
        answer = browser.client.get(back)
    assert answer.status_code == 503
    assert "try again in a minute" in sentence(answer)
    assert not Person.objects.exists()
    assert refusals() == []


def test_a_slow_issuer_times_out_and_the_other_still_works(
    checkin: IdentityProvider, browser: Browser, settings: Any, tmp_path: Path
) -> None:
    settings.ISSUER_TIMEOUT = 0.2
    with running() as second:
        settings.ISSUERS = str(write(tmp_path, checkin.configuration(), second.configuration("second"), name="2"))
        back = browser.visit(browser.leave())
        checkin.delay = {"token": 1.0}
        assert browser.client.get(back).status_code == 503
        assert Browser(Client(), alias="second").log_in().status_code == 302


def test_oversized_claims_are_refused_with_a_sentence_and_many_entitlements_are_accepted(
    checkin: IdentityProvider, browser: Browser
) -> None:
    assert checkin.visitor
    checkin.visitor.claims = {"entitlements": [E + f"vo.{n}:role=member#aai.egi.eu" for n in range(89)] + [MEMBER]}
    assert browser.log_in().status_code == 302
    assert browser.person
    assert browser.person.memberships.count() == 1
    checkin.padding = 2 * 1024 * 1024
    assert browser.log_in().status_code == 503


def test_a_disabled_person_reads_that_and_is_logged_out_at_once(checkin: IdentityProvider, browser: Browser) -> None:
    browser.log_in()
    assert browser.client.get("/account/").status_code == 200
    Person.objects.update(is_active=False)
    assert browser.client.get("/account/").status_code == 302
    answer = browser.log_in()
    assert answer.status_code == 403
    assert "disabled" in sentence(answer)
    assert browser.client.get("/account/").status_code == 302


def test_an_unknown_issuer_is_not_found(checkin: IdentityProvider, browser: Browser) -> None:
    for path in ("/oidc/other/login/", "/oidc/other/callback/"):
        assert browser.client.get(path).status_code == 404


def test_logout_ends_the_session_here_and_at_the_issuer(checkin: IdentityProvider, browser: Browser) -> None:
    browser.log_in()
    assert browser.client.get("/logout/").status_code == 405
    answer = browser.client.post("/logout/")
    parts = urlsplit(answer["Location"])
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{checkin.issuer}/logout"
    query = dict(parse_qsl(parts.query))
    assert query["post_logout_redirect_uri"] == "http://testserver/login/"
    assert query["client_id"] == CLIENT
    assert query["id_token_hint"].count(".") == 2
    assert browser.person is None
    assert Event.objects.filter(verb="person.logout", actor_kind="person").count() == 1


def test_an_id_token_too_long_for_a_url_is_not_sent_at_logout(checkin: IdentityProvider, browser: Browser) -> None:
    checkin.id_claims = {"groups": ["x" * 5000]}
    browser.log_in()
    location = browser.client.post("/logout/")["Location"]
    assert location.startswith(f"{checkin.issuer}/logout?client_id=isthmus")
    assert "id_token_hint" not in location


def test_logout_works_without_the_issuer_and_needs_a_csrf_token(checkin: IdentityProvider) -> None:
    browser = Browser(Client(enforce_csrf_checks=True))
    browser.log_in()
    assert browser.client.post("/logout/").status_code == 403
    assert browser.person
    form = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', browser.client.get("/account/").content.decode())
    assert form
    remembered.forget_everything()
    checkin.down = {"all"}
    answer = browser.client.post("/logout/", {"csrfmiddlewaretoken": form[1]})
    assert answer["Location"] == "/login/"
    assert browser.person is None


@pytest.mark.django_db(transaction=True)
def test_the_whole_login_works_as_the_web_role_under_row_security(checkin: IdentityProvider, browser: Browser) -> None:
    checkin.visitor = Visitor(claims={"entitlements": [MEMBER, GOC_VALUE]})
    with as_web_role():
        assert browser.log_in()["Location"] == "/account/"
        page = browser.client.get("/account/").content.decode()
        assert "rule members" in page
        assert "Tenant " in page
        assert browser.client.get("/oidc/idp/callback/?state=forged&code=x").status_code == 400
        browser.client.post("/logout/")
    assert list(Event.objects.order_by("id").values_list("verb", flat=True)) == [
        "person.create", "membership.give", "role.give", "person.login", "person.login", "person.logout",
    ]  # fmt: skip


@pytest.mark.django_db(transaction=True)
def test_two_simultaneous_logins_make_one_person_with_one_membership(checkin: IdentityProvider) -> None:
    browsers = [Browser(Client()) for _ in range(4)]
    backs = [each.visit(each.leave()) for each in browsers]
    checkin.delay = {"userinfo": 0.1}

    def arrive(number: int) -> int:
        return int(browsers[number].client.get(backs[number]).status_code)

    assert at_once(*[lambda number=number: arrive(number) for number in range(4)]) == [302] * 4
    membership = Person.objects.get().memberships.get()
    assert Event.objects.filter(verb="membership.give", tenant_id=membership.tenant_id).count() == 1


def test_a_person_who_left_the_organisation_submits_nothing_new_and_running_jobs_continue(
    checkin: IdentityProvider, browser: Browser, tenant: Tenant
) -> None:
    site = make_site()
    Allocation.objects.create(tenant=tenant, site=site)
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
           "spec": {"containers": [{"name": "main", "image": "busybox", "command": ["true"]}]}}  # fmt: skip
    browser.log_in()
    first = browser.client.post(f"/api/v1/jobs?site={site.slug}", pod, content_type="application/json")
    assert first.status_code == 201, first.content
    assert checkin.visitor
    checkin.visitor.claims = {"entitlements": []}
    browser.log_in()
    again = browser.client.post(f"/api/v1/jobs?site={site.slug}", pod, content_type="application/json")
    assert again.status_code == 403
    job = Job.objects.get()
    assert job.state not in ENDS
    assert job.cancel_requested_at is None
