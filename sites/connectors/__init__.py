"""Sites' protocols, by the kind an operator chooses. A dict of dotted paths: nothing is imported before it is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from sites.connectors.config import BadConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sites.connectors.base import Connector

CONNECTORS = {
    "slurm": "sites.connectors.slurm.connector.SlurmConnector",
    "local": "sites.connectors.local.connector.LocalConnector",
    "memory": "sites.connectors.memory.connector.MemoryConnector",
}


def open_connector(kind: str, config: Mapping[str, object], secret: str = "") -> Connector:
    """A site's connector, made from what its operator has set; no I/O happens yet.

    secret: the site's credential (an SSH private key, perhaps followed by its certificate), empty where none is needed.
    Raises `BadConfig`, an `Unreachable` with a sentence for the operator.
    """
    if kind not in CONNECTORS:
        raise BadConfig(f"There is no connector {kind!r}: choose one of {', '.join(CONNECTORS)}.")
    module, _, name = CONNECTORS[kind].rpartition(".")
    return cast("Connector", getattr(import_module(module), name).from_config(config, secret))
