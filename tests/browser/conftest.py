"""The web service as production runs it, Keycloak, and Debian's Chromium between them.

Playwright's event loop runs in this thread while its fixture is alive, which Django's ORM refuses to work beside: tests
here ask the database by psycopg, and nothing of this outlives the folder.
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
#: A rule that would make operators of those whom the second issuer may not speak of.
TEMPTATION = {
    "name": "tempting",
    "group": "isthmus.egi.eu",
    "role": "federation-operator",
    "give": "federation_operator",
}
#: Nothing listens there.
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
    """Web alone, in the web database role, which row security binds. BROWSER_KEEP=1 leaves its folder, logs and all."""
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
            patch.delenv(name)  # those of the whole test run
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
    """Those of docker-compose.yml at this Keycloak, a rule that tempts, and an issuer that is gone."""
    text = ISSUERS.read_text(encoding="utf-8").replace("http://keycloak.localhost:8180", keycloak.url)
    found: list[dict[str, Any]] = yaml.safe_load(text)["issuers"]
    found[1]["rules"].append(TEMPTATION)
    return [*found, GONE]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One that finds no host but this one."""
    if not Path(CHROMIUM).exists():
        unavailable("There is no browser to log in with: apt-get install chromium.")
    arguments = ["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
    if os.geteuid() == 0:
        arguments.append("--no-sandbox")  # which Chromium has for no root
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visitor(stack: Stack, chromium: Browser) -> Iterator[Visitor]:
    """Somebody with a new browser: no cookies, no sessions."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    context.set_default_timeout(20_000)
    yield Visitor(context.new_page(), stack.url)
    context.close()


@pytest.fixture
def database(stack: Stack) -> Iterator[psycopg.Connection]:
    """The stack's, as its owner."""
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        yield connection
