"""The one list of the kinds of sites, each with its connector and its name for people.

A new kind needs only an entry here: `Site.kind` takes its choices from `kinds`, so it needs no migration. An entry
names its connector by a dotted path, so Python imports the connector at its first use.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, cast

from sites.connectors.config import BadConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sites.connectors.base import Connector


@dataclass(frozen=True)
class ConnectorKind:
    """label: the name for people. connector: the dotted path of the connector's class."""

    label: str
    connector: str


KINDS = {
    "slurm": ConnectorKind("Slurm", "sites.connectors.slurm.connector.SlurmConnector"),
    "local": ConnectorKind("This host, without a scheduler", "sites.connectors.local.connector.LocalConnector"),
    "memory": ConnectorKind("In memory, for tests", "sites.connectors.memory.connector.MemoryConnector"),
}


def kinds() -> list[tuple[str, str]]:
    """Return (kind, label) pairs, as Django's `choices`. Migrations refer to this function by its dotted name."""
    return [(name, kind.label) for name, kind in KINDS.items()]


def open_connector(kind: str, config: Mapping[str, object], secret: str = "") -> Connector:
    """Make a connector from a site's settings, without I/O.

    secret: the site's credential (an SSH private key, and after it perhaps a certificate), empty if it needs none.
    Raises `BadConfig`, an `Unreachable` with a sentence for the operator.
    """
    return _connector_class(kind).from_config(config, secret)


def folder_for(kind: str, config: Mapping[str, object], key: str) -> str:
    """Return the folder for the attempt with this key, without I/O (see `Connector.folder_for`). Raises `BadConfig`."""
    return _connector_class(kind).folder_for(config, key)


def _connector_class(kind: str) -> type[Connector]:
    if kind not in KINDS:
        raise BadConfig(f"There is no connector {kind!r}: choose one of {', '.join(KINDS)}.")
    module, _, name = KINDS[kind].connector.rpartition(".")
    return cast("type[Connector]", getattr(import_module(module), name))
