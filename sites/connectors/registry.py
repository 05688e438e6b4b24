"""The one list of the kinds of sites: each with its connector and its name for people.

A new kind is a new entry here, and nothing else: `Site.kind` takes its choices from `kinds`, so that no migration
follows. A connector is named by its dotted path: nothing of it is imported before it is used.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ConnectorKind:
    """label: for people who choose one; connector: the dotted path of its class."""

    label: str
    connector: str


KINDS = {
    "slurm": ConnectorKind("Slurm", "sites.connectors.slurm.connector.SlurmConnector"),
    "local": ConnectorKind("This host, without a scheduler", "sites.connectors.local.connector.LocalConnector"),
    "memory": ConnectorKind("In memory, for tests", "sites.connectors.memory.connector.MemoryConnector"),
}


def kinds() -> list[tuple[str, str]]:
    """(kind, label) of each, as Django's `choices`. Migrations refer to this function by its dotted name."""
    return [(name, kind.label) for name, kind in KINDS.items()]
