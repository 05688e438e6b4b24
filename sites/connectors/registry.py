"""The one list of the kinds of sites, each with its connector and its name for people.

A new kind needs only an entry here: `Site.kind` takes its choices from `kinds`, so it needs no migration. An entry
names its connector by a dotted path, so Python imports the connector at its first use.
"""

from __future__ import annotations

from dataclasses import dataclass


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
