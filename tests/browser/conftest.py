"""The web service as production runs it, Keycloak, and Debian's Chromium between them.

Playwright keeps an event loop in this thread while its fixture is alive, and Django's ORM refuses to work in such a
thread. Tests here therefore query the database with psycopg, and all fixtures end with this folder.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
import yaml
from playwright.sync_api import sync_playwright

from tests.backends.fixtures import keycloak, unavailable
from tests.backends.keycloak import CLIENT_SECRET
from tests.browser.visitor import Visitor
from tests.kills.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from playwright.sync_api import Browser

    from tests.backends.keycloak import Keycloak

__all__ = ["keycloak"]

CHROMIUM = "/usr/bin/chromium"
ISSUERS = Path(__file__).parents[2] / "deploy/keycloak/issuers.yaml"
#: A rule that would make operators of people about whom the second issuer may say nothing.
TEMPTATION = {
    "name": "tempting",
    "group": "isthmus.egi.eu",
    "role": "federation-operator",
    "give": "federation_operator",
}
#: Nothing listens on this port.
GONE = {
    "alias": "gone",
    "name": "An issuer that is gone",
    "profile": "keycloak",
    "issuer": "http://127.0.0.1:9/realms/gone",
    "client_id": "isthmus",
    "client_secret": "something",
}


@pytest.fixture(scope="package")
def stack(keycloak: Keycloak) -> Iterator[Stack]:
    """Only web, with the web database role, which row security binds. BROWSER_KEEP=1 keeps its folder with the logs."""
    folder = Path(tempfile.mkdtemp(prefix="isthmus-browser-"))
    folder.chmod(0o711)
    (folder / "issuers.yaml").write_text(yaml.safe_dump({"issuers": issuers(keycloak)}), encoding="utf-8")
    settings = {
        "ISTHMUS_ISSUERS": str(folder / "issuers.yaml"),
        "ISTHMUS_ISSUER_TIMEOUT": "2",
        "ISTHMUS_ISSUER_RETRY": "0",
        "ISTHMUS_SECURE_COOKIES": "false",  # plain http on loopback
        "ISTHMUS_WEB_PROCESSES": "1",
        "KEYCLOAK_CLIENT_SECRET": CLIENT_SECRET,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("DATABASE_", "REDIS_"))]:
            patch.delenv(name)  # these belong to the whole test run
        stack = Stack(folder, settings)
    try:
        with stack:
            stack.manage("manage.py", "prepare_database", "-v", "0")
            stack.start("web")
            stack.wait_until_up()
            yield stack
    finally:
        if not os.environ.get("BROWSER_KEEP"):
            shutil.rmtree(folder)


def issuers(keycloak: Keycloak) -> list[dict[str, Any]]:
    """The issuers of docker-compose.yml at this Keycloak, a rule that a forged entitlement matches, a dead issuer."""
    text = ISSUERS.read_text(encoding="utf-8").replace("http://keycloak.localhost:8180", keycloak.url)
    found: list[dict[str, Any]] = yaml.safe_load(text)["issuers"]
    found[1]["rules"].append(TEMPTATION)
    return [*found, GONE]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """A Chromium that can reach only this host."""
    if not Path(CHROMIUM).exists():
        unavailable("There is no browser for the logins: apt-get install chromium.")
    arguments = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # Chromium refuses to run its sandbox as root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visitor(stack: Stack, chromium: Browser) -> Iterator[Visitor]:
    """A person with a new browser: no cookies, no sessions."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(20_000)
    yield Visitor(context.new_page(), stack.url)
    context.close()


@pytest.fixture
def database(stack: Stack) -> Iterator[psycopg.Connection]:
    """A connection to the stack's database, as the owner."""
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        yield connection
