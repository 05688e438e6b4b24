"""The OIDC issuers that people and bearer tokens come from, as the file named by ISTHMUS_ISSUERS lists them.

Read once in each process, before anything is served; `issuer_file.py` reads the file and refuses what cannot be right.
An issuer is looked up by its exact name or by its alias, never fetched for a stranger.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from controlplane.auth.oidc.issuer import Issuer


def configured() -> tuple[Issuer, ...]:
    """Every issuer, in the order of the file. Raises ImproperlyConfigured, with one sentence, for a wrong file."""
    return _read(settings.ISSUERS)


def by_alias(alias: str) -> Issuer | None:
    return next((each for each in configured() if each.alias == alias), None)


def by_issuer(name: str) -> Issuer | None:
    """The issuer whose `iss` is exactly this."""
    return next((each for each in configured() if each.issuer == name), None)


@lru_cache(maxsize=1)
def _read(path: str) -> tuple[Issuer, ...]:
    from controlplane.auth.oidc import issuer_file

    return issuer_file.read(Path(path)) if path else ()
