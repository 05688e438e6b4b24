"""The demo's identity provider as a process, used as a browser and Isthmus use it."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from deploy.demo import identity
from deploy.people import PEOPLE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from deploy.demo.identity import Identity


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Identity]:
    home = tmp_path_factory.mktemp("demo")
    found = identity.load_or_create(home, 24700)
    with subprocess.Popen(identity.argv(home), stderr=subprocess.DEVNULL) as process:
        wait_for(f"{found.issuer}/.well-known/openid-configuration")
        yield found
        process.terminate()


@pytest.mark.parametrize("name", [someone.name for someone in PEOPLE])
def test_all_people_log_in_with_the_password_and_have_their_entitlements(provider: Identity, name: str) -> None:
    back = submit(provider, sub=name, password=provider.password)
    query = parse_qs(urlsplit(back.headers["Location"]).query)
    assert query["state"] == ["a-state"]
    token = exchange(provider, query["code"][0], secret=provider.client_secret).json()["access_token"]
    bearer = {"Authorization": f"Bearer {token}"}
    told = requests.get(f"{provider.issuer}/userinfo", headers=bearer, timeout=10).json()
    entitlements = {someone.name: list(someone.entitlements) for someone in PEOPLE}
    assert (told["sub"], told["entitlements"]) == (name, entitlements[name])


@pytest.mark.parametrize("form", [{"sub": "fed-operator"}, {"sub": "fed-operator", "password": "guessed"}])
def test_nobody_logs_in_without_the_password(provider: Identity, form: dict[str, str]) -> None:
    answer = submit(provider, **form)
    assert answer.status_code == 403
    assert "The password is wrong." in answer.text
    assert "Location" not in answer.headers


def test_an_unknown_person_cannot_log_in(provider: Identity) -> None:
    assert submit(provider, sub="somebody", password=provider.password).status_code == 403


def test_a_person_who_cancels_is_sent_back_with_the_state(provider: Identity) -> None:
    back = submit(provider, action="deny")
    assert parse_qs(urlsplit(back.headers["Location"]).query) == {"error": ["access_denied"], "state": ["a-state"]}


def test_browsers_are_only_redirected_to_the_registered_address(provider: Identity) -> None:
    for form in ({"sub": "vo1-member", "password": provider.password}, {"action": "deny"}):
        answer = submit(provider, callback="http://elsewhere.example/", **form)
        assert answer.status_code in {400, 403}
        assert "Location" not in answer.headers


def test_a_code_is_useless_without_the_clients_secret(provider: Identity) -> None:
    back = submit(provider, sub="vo1-member", password=provider.password)
    code = parse_qs(urlsplit(back.headers["Location"]).query)["code"][0]
    assert exchange(provider, code, secret="guessed").status_code == 401


def test_people_cannot_be_changed(provider: Identity) -> None:
    answer = requests.put(f"{provider.issuer}/users/vo1-member", json={"entitlements": ["more"]}, timeout=10)
    assert answer.status_code == 404


def test_its_port_and_secrets_are_kept_for_the_next_run(tmp_path: Path) -> None:
    first = identity.load_or_create(tmp_path, 24750)
    assert identity.load_or_create(tmp_path, 24750) == first
    assert (tmp_path / "identity.json").stat().st_mode & 0o77 == 0


def submit(provider: Identity, *, callback: str = "", **form: str) -> requests.Response:
    """Send the login page's form and do not follow the redirect."""
    query = {
        "client_id": "isthmus",
        "response_type": "code",
        "redirect_uri": callback or provider.callbacks[0],
        "scope": "openid profile email entitlements",
        "state": "a-state",
        "nonce": "a-nonce",
    }
    page = f"{provider.issuer}/oauth2/authorize"
    return requests.post(page, params=query, data=form, allow_redirects=False, timeout=10)


def exchange(provider: Identity, code: str, *, secret: str) -> requests.Response:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": provider.callbacks[0]}
    return requests.post(f"{provider.issuer}/oauth2/token", data=form, auth=("isthmus", secret), timeout=10)


def wait_for(url: str) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            requests.get(url, timeout=1).raise_for_status()
        except requests.RequestException:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
