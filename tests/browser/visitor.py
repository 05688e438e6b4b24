"""What a person does with a browser to log in, and what the page then shows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.backends.keycloak import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Page, Response

CALLBACK = re.compile(r"/oidc/[^/]+/callback/")


@dataclass
class Visitor:
    """page: the browser's one tab; url: the web service's, without a trailing slash."""

    page: Page
    url: str

    def open(self, path: str) -> Response:
        answer = self.page.goto(self.url + path)
        assert answer
        return answer

    def choose(self, issuer: str) -> None:
        """Go from the login page to the issuer."""
        self.open("/login/")
        self.page.get_by_role("link", name=issuer, exact=True).click()

    def give_password(self, name: str) -> None:
        """Fill in Keycloak's form."""
        self.page.locator("#username").fill(name)
        self.page.locator("#password").fill(PASSWORD)
        self.page.locator("#kc-login").click()

    def log_in(self, name: str, *, issuer: str = "Keycloak") -> None:
        """Log in and end on the account page."""
        self.choose(issuer)
        self.give_password(name)
        self.open("/account/")

    def log_out(self) -> None:
        self.open("/account/")
        self.page.get_by_role("button", name="Log out").click()
        self.page.wait_for_load_state()

    @property
    def is_told_to_try_again(self) -> bool:
        """Wait for our page that says why a login failed and offers another try."""
        return self.reads("You are not logged in") and self.page.get_by_role("link", name="Try again").count() == 1

    @property
    def is_asked_for_password(self) -> bool:
        self.page.wait_for_load_state()
        return self.page.locator("#password").count() == 1

    def reads(self, text: str) -> bool:
        """Return whether the page shows this text."""
        return text in self.page.locator("body").inner_text()
