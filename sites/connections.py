"""The connector of a site: one in each process, opened when it is first needed and replaced when its site changes."""

from __future__ import annotations

import threading
from importlib import import_module
from typing import TYPE_CHECKING, cast

from controlplane import remembered, secrets
from sites.connectors.base import Unreachable
from sites.connectors.config import BadConfig
from sites.connectors.registry import KINDS

if TYPE_CHECKING:
    from collections.abc import Mapping
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


def open_connector(kind: str, config: Mapping[str, object], secret: str = "") -> Connector:
    """A site's connector, made from what its operator has set; no I/O happens yet.

    secret: the site's credential (an SSH private key, perhaps followed by its certificate), empty where none is needed.
    Raises `BadConfig`, an `Unreachable` with a sentence for the operator.
    """
    return _connector_class(kind).from_config(config, secret)


def folder_for(kind: str, config: Mapping[str, object], key: str) -> str:
    """Where the attempt with this key lives at such a site (see `Connector.folder_for`). Raises `BadConfig`; no I/O."""
    return _connector_class(kind).folder_for(config, key)


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


def _connector_class(kind: str) -> type[Connector]:
    if kind not in KINDS:
        raise BadConfig(f"There is no connector {kind!r}: choose one of {', '.join(KINDS)}.")
    module, _, name = KINDS[kind].connector.rpartition(".")
    return cast("type[Connector]", getattr(import_module(module), name))
