"""The connectors of this process: one for each site, opened at its first use, replaced when the site's row changes."""

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
    """Return this process's connector for the site's current configuration.

    Raises `Unreachable` or `Rejected`, with a sentence for the operator, if the site's configuration or credential
    cannot be used.
    """
    with _lock:
        version, connector = _open.get(site.pk, (None, None))
        if connector is not None and version == site.changed_at:
            return connector
        replacement = open_connector(site.kind, site.config, credential(site))
        _open[site.pk] = (site.changed_at, replacement)
    if connector is not None:
        # A call that still uses the old connector ends with Unreachable, which every caller handles.
        connector.close()
    return replacement


def open_connector(kind: str, config: Mapping[str, object], secret: str = "") -> Connector:
    """Make a connector from a site's settings, without I/O.

    secret: the site's credential (an SSH private key, and after it perhaps a certificate), empty if it needs none.
    Raises `BadConfig`, an `Unreachable` with a sentence for the operator.
    """
    return _connector_class(kind).from_config(config, secret)


def folder_for(kind: str, config: Mapping[str, object], key: str) -> str:
    """Return the folder for the attempt with this key, without I/O (see `Connector.folder_for`). Raises `BadConfig`."""
    return _connector_class(kind).folder_for(config, key)


def seal_credential(site: Site, secret: str) -> None:
    """Encrypt `secret` (a private key, a password) into the site's row. An empty one removes it. The caller saves."""
    site.credential = secrets.seal(secret.encode(), bound_to=_row(site)) if secret else None


def credential(site: Site) -> str:
    """Decrypt the site's secret; empty if it has none. Raises `Unreachable` if it cannot be decrypted."""
    if site.credential is None:
        return ""
    try:
        return secrets.unseal(bytes(site.credential), bound_to=_row(site)).decode()
    except secrets.Unsealable as error:
        raise Unreachable(
            f"The credential of {site.name} cannot be decrypted; its operator must set it again."
        ) from error


def reseal_credential(site: Site) -> bool:
    """Encrypt the credential with the ring's first key. Returns whether it changed; the caller saves.

    Raises `Unsealable` if no key of the ring decrypts it.
    """
    fresh = secrets.reseal(bytes(site.credential), bound_to=_row(site)) if site.credential else None
    site.credential = fresh or site.credential
    return fresh is not None


@remembered.registered
def close_all() -> None:
    """Close every connector of this process. Jobs continue."""
    while _open:  # without the lock: in a forked child its owner may be gone
        _, (_, connector) = _open.popitem()
        connector.close()


def _row(site: Site) -> str:
    return f"hpc_sites_site.credential:{site.slug}"


def _connector_class(kind: str) -> type[Connector]:
    if kind not in KINDS:
        raise BadConfig(f"There is no connector {kind!r}: choose one of {', '.join(KINDS)}.")
    module, _, name = KINDS[kind].connector.rpartition(".")
    return cast("type[Connector]", getattr(import_module(module), name))
