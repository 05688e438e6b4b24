"""The login pages on phone and desktop screens, in light and dark mode. BROWSER_SHOTS names a folder for pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.browser.visitor import Visitor
    from tests.kills.stack import Stack

WIDTHS = {"narrow": 390, "wide": 1440}
SCHEMES: list[Any] = ["light", "dark"]


@pytest.mark.parametrize("name", ["login", "account", "operator", "nobody", "failed"])
def test_a_page_fits_each_screen_and_is_readable(visitor: Visitor, name: str) -> None:
    page = visitor.page
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    go_to(visitor, name)
    for width, pixels in WIDTHS.items():
        for scheme in SCHEMES:
            page.set_viewport_size({"width": pixels, "height": 900})
            page.emulate_media(color_scheme=scheme)
            if folder := os.environ.get("BROWSER_SHOTS"):
                page.screenshot(path=Path(folder) / f"{name}-{width}-{scheme}.png", full_page=True)
            assert page.evaluate("[...document.querySelectorAll('*')].every(each => each.scrollWidth <= innerWidth)")
            assert page.evaluate(CONTRAST) >= 4.5
    assert page.locator("h1").count() == 1
    assert [each for each in complaints if "status of 503" not in each] == []


def go_to(visitor: Visitor, name: str) -> None:
    people = {"account": "vo1-manager", "operator": "site-operator", "nobody": "no-entitlement"}
    if name in people:
        visitor.log_in(people[name])
    elif name == "failed":
        visitor.choose("An issuer that is gone")
        visitor.page.wait_for_load_state()
    else:
        visitor.open("/login/")


#: The contrast between the page's text and its background (WCAG 2 requires 4.5 for text of any size).
CONTRAST = """() => {
  const light = colour => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map(part => part / 255)
      .map(part => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2];
  };
  const style = getComputedStyle(document.body);
  const [a, b] = [light(style.color), light(style.backgroundColor)].sort((x, y) => y - x);
  return style.backgroundColor === 'rgba(0, 0, 0, 0)' ? 0 : (a + 0.05) / (b + 0.05);
}"""


def test_a_login_works_with_the_keyboard_only(visitor: Visitor) -> None:
    visitor.open("/login/")
    page = visitor.page
    for _ in range(5):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == "Keycloak":
            break
    page.keyboard.press("Enter")
    page.wait_for_url("**/realms/isthmus/**")
    page.locator("#username").fill("vo1-member")
    page.keyboard.press("Tab")
    page.keyboard.type("people-pw")
    page.keyboard.press("Enter")
    page.wait_for_url("**/account/")


def test_pages_work_without_scripts(stack: Stack, chromium: Browser) -> None:
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{stack.url}/login/")
    assert page.get_by_role("link", name="Keycloak", exact=True).count() == 1
    context.close()
