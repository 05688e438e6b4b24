"""Reads the settings of a site. Each error is one sentence that names the setting."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, cast

from sites.connectors.base import Unreachable
from sites.script import Runtime

if TYPE_CHECKING:
    from collections.abc import Mapping


class BadConfig(Unreachable, ValueError):
    """The site's settings are wrong. Jobs wait, as for a silent site, until the operator corrects them."""

    code = "site_misconfigured"


def is_plain_path(path: str) -> bool:
    """Whether shells and schedulers accept this path without quotes."""
    plain = re.fullmatch(r"[A-Za-z0-9./_@+,:=-]+", path) and path[0] != "-" and posixpath.normpath(path) == path
    return bool(plain) and ".." not in path.split("/")


class Config:
    """A mapping of settings. Each method reads one setting by name and type; `finish` refuses those that nobody read.

    Every method raises `BadConfig` if the value has the wrong type. place: the path of the enclosing setting, for
    messages.
    """

    def __init__(self, values: object, place: str = "") -> None:
        self._place = place
        if not isinstance(values, dict):
            raise BadConfig(f"{self._named('')} must be an object of settings.")
        self._values = cast("Mapping[str, object]", values)
        self._taken: set[str] = set()

    def text(self, name: str, default: str = "") -> str:
        value = self._take(name, default)
        if not isinstance(value, str) or "\0" in value or "\n" in value.strip():
            raise BadConfig(f"{self._named(name)} must be one line of text.")
        return value.strip()

    def folder(self, name: str, default: str) -> str:
        """Read a folder at the site, absolute or relative to the account's home, that needs no quotes."""
        value = self.text(name, default)
        if not is_plain_path(value):
            raise BadConfig(f"{self._named(name)} must be a plain path: letters, digits and ./_@+,:=- without `..`.")
        return value

    def required(self, name: str) -> str:
        if value := self.text(name):
            return value
        raise BadConfig(f"{self._named(name)} is missing.")

    def lines(self, name: str) -> str:
        value = self._take(name, "")
        if not isinstance(value, str):
            raise BadConfig(f"{self._named(name)} must be text.")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._take(name, [])
        if isinstance(value, list) and all(isinstance(item, str) and "\n" not in item for item in value):
            return tuple(value)
        raise BadConfig(f"{self._named(name)} must be a list of texts.")

    def variables(self, name: str) -> tuple[tuple[str, str], ...]:
        value = self._take(name, {})
        if isinstance(value, dict) and all(key.isidentifier() and isinstance(value[key], str) for key in value):
            return tuple(value.items())
        raise BadConfig(f"{self._named(name)} must be an object of variables, each with a text.")

    def number(self, name: str, default: int, *, least: int = 1, most: int = 10**6) -> int:
        value = self._take(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise BadConfig(f"{self._named(name)} must be a whole number from {least} to {most}.")
        return value

    def flag(self, name: str, *, default: bool) -> bool:
        value = self._take(name, default)
        if not isinstance(value, bool):
            raise BadConfig(f"{self._named(name)} must be true or false.")
        return value

    def part(self, name: str) -> Config | None:
        value = self._take(name, None)
        return None if value is None else Config(value, self._path(name))

    def runtime(self, default_kind: str = "") -> Runtime:
        """Read the setting `runtime`: {"kind", "path", "images", "grace"}."""
        part = self.part("runtime") or Config({"kind": default_kind}, self._path("runtime"))
        kind, path, images = part.required("kind"), part.text("path"), part.text("images")
        grace = part.number("grace", Runtime.grace, most=3600)
        part.finish()
        try:
            return Runtime(kind, path, images, grace)  # type: ignore[arg-type]  # Runtime checks and converts the kind
        except ValueError as wrong:
            raise BadConfig(f"{self._named('runtime')}: {wrong}") from wrong

    def finish(self) -> None:
        """Raises `BadConfig` if there is a setting that no method has read."""
        if unknown := sorted(set(self._values) - self._taken):
            known = ", ".join(sorted(self._taken))
            raise BadConfig(f"{self._named(unknown[0])} is not known: choose among {known}.")

    def _take(self, name: str, default: object) -> object:
        self._taken.add(name)
        return self._values.get(name, default)

    def _path(self, name: str) -> str:
        return ".".join(filter(None, (self._place, name)))

    def _named(self, name: str) -> str:
        return f"The site's setting {self._path(name)!r}" if self._path(name) else "The site's configuration"
