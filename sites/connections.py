"""The connector of a site: one in each process, opened when it is first needed and replaced when its site changes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from controlplane import remembered, secrets
from sites.connectors.base import Unreachable
from sites.connectors.registry import open_connector

if TYPE_CHECKING:
    from datetime import datetime

    from sites.connectors.base import Connector
    from sites.models import Site

_open: dict[int, tuple[datetime, Connector]] = {}
_lock = threading.Lock()


def connector_for(site: Site) -> Connector:
    """This process's connector for `site` as it is configured now.

    Raises `Unreachable` (or `Rejected`, as its connector does) with a sentence for the operator where the site's
    configuration or credential cannot be used.
    """
    with _lock:
        version, connector = _open.get(site.pk, (None, None))
        if connector is not None and version == site.changed_at:
            return connector
        replacement = open_connector(site.kind, site.config, credential(site))
        _open[site.pk] = (site.changed_at, replacement)
    if connector is not None:
        # A call that still runs on it ends as unanswered, which every caller survives.
        connector.close()
    return replacement


def seal_credential(site: Site, secret: str) -> None:
    """Put `secret` (a private key, a password) into the site's row, sealed. The caller saves."""
    site.credential = secrets.seal(secret.encode(), bound_to=_row(site)) if secret else None


def credential(site: Site) -> str:
    """The site's secret in clear, empty where it has none."""
    if site.credential is None:
        return ""
    try:
        return secrets.unseal(bytes(site.credential), bound_to=_row(site)).decode()
    except secrets.Unsealable as error:
        raise Unreachable(f"The credential of {site.name} cannot be opened; its operator must set it again.") from error


def reseal(site: Site) -> bool:
    """Put the credential under the ring's first key. True if it changed; the caller saves. Raises `Unsealable`."""
    fresh = secrets.reseal(bytes(site.credential), bound_to=_row(site)) if site.credential else None
    site.credential = fresh or site.credential
    return fresh is not None


@remembered.registered
def close_all() -> None:
    """Let go of every connector of this process. Jobs go on."""
    while _open:  # without the lock, which in a forked child nobody might give back
        _, (_, connector) = _open.popitem()
        connector.close()


def _row(site: Site) -> str:
    return f"hpc_sites_site.credential:{site.slug}"
