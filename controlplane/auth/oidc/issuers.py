"""The OIDC issuers of people and of bearer tokens, from the file that ISTHMUS_ISSUERS names.

Each process reads the file once, before it serves requests; `issuer_file.py` checks it. An issuer is found by its exact
name or its alias. An unknown issuer is never contacted.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from controlplane.auth.oidc.issuer import Issuer


def configured() -> tuple[Issuer, ...]:
    """Returns every issuer, in the order of the file. Raises ImproperlyConfigured if the file is wrong."""
    return _read(settings.ISSUERS)


def by_alias(alias: str) -> Issuer | None:
    return next((each for each in configured() if each.alias == alias), None)


def by_issuer(name: str) -> Issuer | None:
    """Returns the issuer with exactly this `iss`, or None."""
    return next((each for each in configured() if each.issuer == name), None)


@lru_cache(maxsize=1)
def _read(path: str) -> tuple[Issuer, ...]:
    from controlplane.auth.oidc import issuer_file

    return issuer_file.read_issuers(Path(path)) if path else ()
