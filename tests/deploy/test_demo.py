from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from deploy.demo import options

if TYPE_CHECKING:
    from pathlib import Path


def test_without_variables_the_demo_serves_port_8000_from_var_demo() -> None:
    chosen = options.read_options({})
    assert chosen.port == 8000
    assert chosen.home.parts[-2:] == ("var", "demo")
    assert chosen.slurm is None


def test_a_cluster_over_ssh_is_read_from_one_line(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("a key")
    (tmp_path / "known").write_text("a host key")
    variables = {"DEMO_SSH": "me@login.example.org:2222", "DEMO_SSH_KEY": str(tmp_path / "id")}
    site = options.read_options(variables | {"DEMO_SSH_KNOWN_HOSTS": str(tmp_path / "known")}).slurm
    assert site is not None
    assert (site.user, site.host, site.port) == ("me", "login.example.org", 2222)
    assert (site.key, site.known_hosts) == ("a key", "a host key")


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DEMO_PORT": "many"}, "DEMO_PORT must be a port number"),
        ({"DEMO_PORT": "70000"}, "DEMO_PORT must be a port number"),
        ({"DEMO_SSH": "login.example.org"}, "DEMO_SSH must be user@host:port"),
        ({"DEMO_SSH": "me@login.example.org"}, "Set DEMO_SSH_KEY"),
        ({"DEMO_SSH": "me@login.example.org", "DEMO_SSH_KEY": "/no/such/file"}, "DEMO_SSH_KEY cannot be read"),
    ],
)
def test_a_wrong_variable_is_refused_with_a_sentence(variables: dict[str, str], sentence: str) -> None:
    with pytest.raises(options.BadOption, match=sentence):
        options.read_options(variables)
