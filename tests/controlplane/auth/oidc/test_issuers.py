"""The file of issuers: what it gives, and the sentence for each mistake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from controlplane.auth.oidc import issuer_file, issuers
from controlplane.auth.oidc.issuer import PROFILES, Give, Rule
from tests.issuers import EGI, write

MEMBERS = {"name": "members", "group": "vo.a", "role": "member", "tenant": "vo-a", "give": "member"}


def test_no_file_means_no_issuers(settings: Any) -> None:
    settings.ISSUERS = ""
    assert issuers.configured() == ()


def test_an_invalid_file_stops_every_process_at_start(tmp_path: Path, settings: Any) -> None:
    settings.ISSUERS = str(write(tmp_path, {**EGI, "algorithms": ["none"]}))
    with pytest.raises(ImproperlyConfigured, match="`algorithms`"):
        apps.get_app_config("isthmus_auth").ready()


def test_missing_keys_come_from_the_profile(tmp_path: Path) -> None:
    [egi] = issuer_file.read_issuers(write(tmp_path, EGI))
    assert egi.scopes == PROFILES["egi-check-in"].scopes
    assert egi.namespaces == {"urn:mace:egi.eu"}
    assert egi.algorithms == ("RS256",)
    assert (egi.rules, egi.create_tenants) == ((), ())


def test_the_documented_examples_are_valid(tmp_path: Path) -> None:
    page = (Path(__file__).parents[4] / "docs" / "identity.md").read_text(encoding="utf-8")
    examples = [block.split("```")[0] for block in page.split("```yaml\n")[1:]]
    assert examples
    for text in examples:
        path = tmp_path / "documented.yaml"
        path.write_text(text.replace("client_secret_file: /run/secrets/", "client_secret: "), encoding="utf-8")
        assert issuer_file.read_issuers(path)


def test_an_issuer_is_found_only_by_its_exact_name_or_alias(tmp_path: Path, settings: Any) -> None:
    settings.ISSUERS = str(write(tmp_path, EGI))
    assert issuers.by_alias("egi") == issuers.by_issuer(EGI["issuer"])
    for stranger in (EGI["issuer"] + "/", EGI["issuer"].upper(), "", "https://aai.egi.eu"):
        assert issuers.by_issuer(stranger) is None


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("vo.a:sub", ("vo.a", "sub")),
        ("/vo/sub", ("vo", "sub")),
        ("vo/sub", ("vo", "sub")),
        ("vo", ("vo",)),
        (["vo/with slash", "sub"], ("vo/with slash", "sub")),
    ],
)
def test_a_group_is_a_path(tmp_path: Path, written: Any, path: tuple[str, ...]) -> None:
    [issuer] = issuer_file.read_issuers(write(tmp_path, {**EGI, "rules": [{**MEMBERS, "group": written}]}))
    assert issuer.rules == (Rule("members", Give.MEMBER, group=path, role="member", tenant="vo-a"),)


def test_the_secret_comes_from_a_file_or_the_environment_and_is_never_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EGI_SECRET", "from the environment")
    (tmp_path / "secret").write_text("from a file\n", encoding="utf-8")
    bare = {key: value for key, value in EGI.items() if key != "client_secret"}
    [filed] = issuer_file.read_issuers(write(tmp_path, {**bare, "client_secret_file": str(tmp_path / "secret")}))
    [named] = issuer_file.read_issuers(write(tmp_path, {**bare, "client_secret_env": "EGI_SECRET"}))
    assert (filed.client_secret, named.client_secret) == ("from a file", "from the environment")
    assert "from" not in repr(filed)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"alias": "EGI"}, "`alias`"),
        ({"alias": None}, "`alias`"),
        ({"colour": "blue"}, "unknown key `colour`"),
        ({"profile": "google"}, "`profile`"),
        ({"issuer": "http://aai.egi.eu"}, "https://"),
        ({"issuer": "https://aai.egi.eu?x=1"}, "https://"),
        ({"issuer": "https://"}, "https://"),
        ({"client_id": ""}, "`client_id`"),
        ({"client_secret_env": "BOTH"}, "exactly one of"),
        ({"scopes": ["profile"]}, "`openid`"),
        ({"scopes": "openid"}, "list of texts"),
        ({"algorithms": ["HS256"]}, "`algorithms`"),
        ({"algorithms": ["none"]}, "`algorithms`"),
        ({"algorithms": []}, "`algorithms`"),
        ({"namespaces": ["urn:mace:egi.eu:"]}, "`namespaces`"),
        ({"introspection": "yes"}, "true or false"),
        ({"rules": {"name": "x"}}, "needs a list"),
        ({"rules": ["members"]}, "mapping"),
        ({"rules": [MEMBERS, MEMBERS]}, "two rules"),
        ({"rules": [{**MEMBERS, "give": "king"}]}, "`give`"),
        ({"rules": [{**MEMBERS, "grup": "x"}]}, "unknown key `grup`"),
        ({"rules": [{**MEMBERS, "entitlement": "urn:mace:egi.eu:x"}]}, "exactly one of"),
        ({"rules": [{**MEMBERS, "group": "vo::sub"}]}, "path"),
        ({"rules": [{**MEMBERS, "group": "vo:role=member"}]}, "path"),
        ({"rules": [{**MEMBERS, "tenant": "no slug"}]}, "`tenant`"),
        ({"rules": [{**MEMBERS, "tenant": "{1}"}]}, "begins with"),
        ({"rules": [{**MEMBERS, "tenant": ""}]}, "`tenant`"),
        ({"rules": [{**MEMBERS, "give": "federation_operator"}]}, "`tenant`"),
        ({"rules": [{"name": "s", "goc_role": "X", "goc_site": "Y", "give": "site_operator"}]}, "`site`"),
        ({"rules": [{"name": "s", "goc_role": "X", "site": "y", "give": "site_operator"}]}, "`goc_site`"),
        ({"rules": [{"name": "o", "entitlement": "urn:geant:x:group:o", "give": "federation_operator"}]}, "namespaces"),
    ],
)
def test_a_mistake_stops_the_start_and_names_the_entry(tmp_path: Path, change: dict[str, Any], complaint: str) -> None:
    entry = {key: value for key, value in {**EGI, **change}.items() if value is not None}
    with pytest.raises(ImproperlyConfigured) as refusal:
        issuer_file.read_issuers(write(tmp_path, entry))
    assert complaint in str(refusal.value)
    assert "'egi'" in str(refusal.value) or "issuers[0]" in str(refusal.value)
    assert "hush" not in str(refusal.value)


def test_two_issuers_with_one_alias_or_one_name_are_refused(tmp_path: Path) -> None:
    for twin in ({**EGI, "alias": "other"}, {**EGI, "issuer": "https://other.example.org"}):
        with pytest.raises(ImproperlyConfigured, match="two issuers have the"):
            issuer_file.read_issuers(write(tmp_path, EGI, twin))


@pytest.mark.parametrize("content", ["issuers: [", "- a", "", "issuers: []\nextra: 1", "\x00"])
def test_a_file_of_another_form_is_refused_with_a_sentence(tmp_path: Path, content: str) -> None:
    path = tmp_path / "issuers.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(ImproperlyConfigured, match=r"issuers\.yaml"):
        issuer_file.read_issuers(path)
    with pytest.raises(ImproperlyConfigured, match="cannot be read"):
        issuer_file.read_issuers(tmp_path / "absent.yaml")
