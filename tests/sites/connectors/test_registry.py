"""The list of kinds of sites, none of which the database knows."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.core.management import call_command

from sites.connections import folder_for, open_connector
from sites.connectors.config import BadConfig
from sites.connectors.registry import KINDS, ConnectorKind
from sites.models import Site

KEY = "00ff" * 8


@pytest.mark.parametrize(
    ("kind", "config", "folder"),
    [
        ("slurm", {}, f".isthmus/jobs/{KEY}"),
        ("slurm", {"base": "/scratch/isthmus", "bin": "/opt/slurm/bin"}, f"/scratch/isthmus/{KEY}"),
        ("local", {"base": "jobs"}, f"jobs/{KEY}"),
        ("memory", {"name": "vega"}, f"memory/{KEY}"),
    ],
)
def test_an_attempts_folder_is_named_from_kind_settings_and_key(kind: str, config: dict[str, str], folder: str) -> None:
    assert folder_for(kind, config, KEY) == folder


def test_with_unusable_settings_no_folder_is_named() -> None:
    with pytest.raises(BadConfig, match="'base' must be a plain path"):
        folder_for("slurm", {"base": "../others"}, KEY)


def test_an_unknown_kind_is_refused_with_the_known_ones() -> None:
    for use in (lambda: open_connector("pbs", {}), lambda: folder_for("pbs", {}, KEY)):
        with pytest.raises(BadConfig, match="no connector 'pbs': choose one of slurm, local, memory"):
            use()


@pytest.mark.django_db
def test_a_new_kind_can_be_chosen_without_a_migration(monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site(slug="meluxina", name="MeluXina", kind="pbs")
    with pytest.raises(ValidationError, match="'pbs' is not a valid choice"):
        site.full_clean()
    monkeypatch.setitem(KINDS, "pbs", ConnectorKind("PBS", "sites.connectors.pbs.connector.PbsConnector"))
    site.full_clean()
    assert site.get_kind_display() == "PBS"
    call_command("makemigrations", check=True, dry_run=True, verbosity=0)  # exits with an error if there is a change
