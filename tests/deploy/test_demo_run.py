"""`make demo` as it is run: its people, their tokens, and their logins. No browser, no network."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests

from deploy.people import PEOPLE

if TYPE_CHECKING:
    from collections.abc import Iterator

PROJECT = Path(__file__).parents[2]
UP_WITHIN = 90.0
#: Variables that point to the stores and settings of the test run.
OURS = ("DATABASE_", "REDIS_", "ISTHMUS_", "DEMO_", "DJANGO_")

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "hello"},
    "spec": {"containers": [{"name": "main", "image": "busybox:1.36", "command": ["true"]}]},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def before(home: Path) -> dict[str, Any]:
    """demo.json of a first run that has ended."""
    with running(home) as told:
        return told


@pytest.fixture(scope="module")
def demo(home: Path, before: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """demo.json of a second run that is up."""
    with running(home) as told:
        yield told


@pytest.mark.parametrize("someone", PEOPLE, ids=lambda each: each.name)
def test_every_token_has_the_rights_that_demo_json_names(demo: dict[str, Any], someone: Any) -> None:
    entry = person(demo, someone.name)
    assert entry.keys() == {"name", "role", "tenant", "token"}
    told = me(demo, entry["token"])
    held = [(role["role"], None) for role in told["roles"]]
    held += [(role, tenant["slug"]) for tenant in told["tenants"] for role in tenant["roles"]]
    if entry["role"] is None:
        assert held == []
    else:
        assert (entry["role"], entry["tenant"]) in held


def test_the_site_operator_operates_the_site_of_the_nodes(demo: dict[str, Any]) -> None:
    told = me(demo, person(demo, "site-operator")["token"])
    assert [role["site"] for role in told["roles"]] == [demo["nodes"][0]["site"]]


@pytest.mark.parametrize("name", ["vo1-member", "fed-operator", "no-entitlement"])
def test_people_who_log_in_by_browser_own_their_tokens(demo: dict[str, Any], name: str) -> None:
    browser = requests.Session()
    page = log_in(browser, demo, name, demo["login"]["password"])
    assert page.status_code == 200
    assert page.url == f"{demo['url']}/account/"
    told = me(demo, person(demo, name)["token"])
    assert told["name"] in page.text
    assert all(tenant["name"] in page.text for tenant in told["tenants"])


def test_a_members_pod_runs_at_the_local_site_and_other_tenants_do_not_see_it(demo: dict[str, Any]) -> None:
    jobs = f"{demo['url']}/api/v1/jobs"
    sent = requests.post(jobs, headers=bearer(demo, "vo1-member"), json=POD, timeout=30)
    assert sent.status_code == 201, sent.text
    job = f"{jobs}/{sent.json()['key']}"
    deadline = time.monotonic() + 60
    while (state := requests.get(job, headers=bearer(demo, "vo1-manager"), timeout=30).json()["state"]) != "succeeded":
        assert time.monotonic() < deadline, state
        time.sleep(0.3)
    assert requests.get(job, headers=bearer(demo, "fed-auditor"), timeout=30).status_code == 200
    assert requests.get(job, headers=bearer(demo, "vo2-manager"), timeout=30).status_code == 404


def test_nobody_logs_in_without_the_password(demo: dict[str, Any]) -> None:
    browser = requests.Session()
    assert log_in(browser, demo, "fed-operator", "guessed").status_code == 403
    assert browser.get(f"{demo['url']}/account/", timeout=30).url != f"{demo['url']}/account/"


def test_demo_json_is_readable_for_its_owner_only(demo: dict[str, Any], home: Path) -> None:
    assert demo["login"]["password"]
    for name in ("demo.json", "identity.json", "issuers.yaml", "keys.json"):
        assert (home / name).stat().st_mode & 0o77 == 0


def test_a_second_run_keeps_every_token_and_the_password(before: dict[str, Any], demo: dict[str, Any]) -> None:
    assert demo["people"] == before["people"]
    assert demo["login"]["password"] == before["login"]["password"]
    assert [node["token"] for node in demo["nodes"]] == [node["token"] for node in before["nodes"]]


def person(demo: dict[str, Any], name: str) -> dict[str, Any]:
    found: list[dict[str, Any]] = [each for each in demo["people"] if each["name"] == name]
    return found[0]


def bearer(demo: dict[str, Any], name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {person(demo, name)['token']}"}


def me(demo: dict[str, Any], token: str) -> dict[str, Any]:
    answer = requests.get(f"{demo['url']}/api/v1/me", headers={"Authorization": f"Bearer {token}"}, timeout=30)
    answer.raise_for_status()
    told: dict[str, Any] = answer.json()
    return told


def log_in(browser: requests.Session, demo: dict[str, Any], name: str, password: str) -> requests.Response:
    """Log in from our login page through the provider's form and back. Return the page that is shown then."""
    page = browser.get(demo["login"]["url"], timeout=30)
    way = re.search(r'["\'](/oidc/demo/login/[^"\']*)', page.text)
    assert way, page.text
    form = browser.get(demo["url"] + way[1], timeout=30)
    return browser.post(form.url, data={"sub": name, "password": password}, timeout=30)


@contextmanager
def running(home: Path) -> Iterator[dict[str, Any]]:
    """Run a demo on a port of its own until the block ends."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    url = f"http://127.0.0.1:{(port := free_port())}"
    with (home.parent / "demo.log").open("ab") as log:
        process = subprocess.Popen(
            # Ignore SIGINT, as scripts do for background processes; Ctrl-C must still end the demo.
            ["/bin/sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", "deploy.demo"],
            env={**environ, "DEMO_HOME": str(home), "DEMO_PORT": str(port)},
            cwd=PROJECT,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        wait_until_ready(url, process)
        yield json.loads((home / "demo.json").read_text(encoding="utf-8"))
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(60)


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + UP_WITHIN
    while True:
        assert process.poll() is None, "the demo has ended; demo.log beside its folder says why"
        try:
            return requests.get(f"{url}/readyz", timeout=2).raise_for_status()
        except requests.RequestException:
            assert time.monotonic() < deadline, "the demo did not start in time"
            time.sleep(0.2)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
