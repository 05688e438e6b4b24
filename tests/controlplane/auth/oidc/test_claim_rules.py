"""What claims give: every known trap of group claims, one by one."""

from __future__ import annotations

import re
from typing import Any

import pytest

from controlplane.auth.oidc.claim_rules import ClaimResult, Given, slug_for, try_claims
from controlplane.auth.oidc.issuer import Give, Rule
from tests.issuers import GOC, GOC_VALUE, MANAGERS, MEMBERS, E, issuer

PLAIN = Rule("plain", Give.MEMBER, group=("vo", "prod"), tenant="vo-prod")
OPS = Rule("ops", Give.FEDERATION_OPERATOR, entitlement=E + "isthmus.egi.eu:role=federation-operator#aai.egi.eu")


def given_by(verdict: ClaimResult) -> list[str]:
    return [each.rule for each in verdict.given]


def reason(verdict: ClaimResult) -> str:
    return " ".join(each.reason for each in verdict.ignored)


def test_an_entitlement_gives_what_its_rule_says() -> None:
    verdict = try_claims(issuer(MEMBERS, MANAGERS, OPS, GOC), {"entitlements": [E + "vo.a:role=member#aai.egi.eu"]})
    value = E + "vo.a:role=member#aai.egi.eu"
    assert verdict.given == (Given(Give.MEMBER, "members", value, tenant="vo-a"),)
    assert verdict.given[0].kind == "membership"
    assert verdict.ignored == ()
    assert verdict.decided == {"members", "managers", "ops", "goc"}


@pytest.mark.parametrize(
    "value",
    [
        E + "vo.a:role=member",
        E + "vo.a:role=member#aai.egi.eu",
        E + "vo.a:role=member#another.authority",
    ],
)
def test_the_authority_of_an_entitlement_is_ignored(value: str) -> None:
    assert given_by(try_claims(issuer(MEMBERS), {"entitlements": [value]})) == ["members"]


@pytest.mark.parametrize(
    "value",
    [
        E + "vo.ab:role=member#aai.egi.eu",
        E + "vo:role=member#aai.egi.eu",
        E + "xvo.a:role=member#aai.egi.eu",
        E + "vo.a:sub:role=member#aai.egi.eu",  # a child does not imply the parent
        E + "vo.a#aai.egi.eu",  # no role
        E + "vo.a:role=manager#aai.egi.eu",
        E + "vo.a:role=Member#aai.egi.eu",
        E + "VO.A:role=member#aai.egi.eu",
        E + "vo%2Ea:role=member#aai.egi.eu",  # nothing is decoded
        E + "vo.a:role%3Dmember#aai.egi.eu",
        E + "vo.a/role=member#aai.egi.eu",
        E + "vo.a:role=member:x#aai.egi.eu",
        E + "vo.a:role=x:role=member#aai.egi.eu",  # a path part that imitates a role
        E + "role=vo.a:role=member#aai.egi.eu",
        E + "vo.a::role=member#aai.egi.eu",
        E + ":vo.a:role=member#aai.egi.eu",
        E + "vo.a:role=#aai.egi.eu",
        E + "role=member#aai.egi.eu",
        E + "vo.a:role=member#a#b",
        E + "vo.a:role=member ",
        " " + E + "vo.a:role=member",
        E + "vo.a:role=member\n",
        E + "vo.a:role=member?+x",
        E + "vо.a:role=member",  # noqa: RUF001  (a Cyrillic o)
        "urn:mace:egi.eu.evil.com:group:vo.a:role=member#aai.egi.eu",
        "urn:mace:egi.eux:group:vo.a:role=member",
        "urn:mace:egi.eu:evil:group:vo.a:role=member",
        "urn:mace:evil.com:urn:mace:egi.eu:group:vo.a:role=member",
        "urn:geant:egi.eu:group:vo.a:role=member#aai.egi.eu",
        "urn:mace:egi.eu:res:vo.a:act:role=member",
        "urn:mace:egi.eu:Group:vo.a:role=member",
        "https://example.org/vo.a:role=member",
        "member of vo.a",
        GOC_VALUE,
        "#",
        "",
        ":",
        "vo.a",
    ],
)
def test_a_similar_entitlement_gives_nothing_and_causes_no_error(value: str) -> None:
    verdict = try_claims(issuer(MEMBERS), {"entitlements": [value, E + "other:role=member"]})
    assert verdict.given == ()
    assert len(verdict.ignored) == 2
    assert verdict.decided == {"members"}


def test_an_issuer_is_believed_only_in_its_own_namespaces() -> None:
    any_iam = issuer(MEMBERS, OPS, profile="aarc-iam", namespaces=frozenset({"urn:geant:iam.example"}))
    claims = {"entitlements": [E + "vo.a:role=member", OPS.entitlement, "urn:geant:iam.example:group:vo.a:role=member"]}
    verdict = try_claims(any_iam, claims)
    assert [each.value for each in verdict.given] == ["urn:geant:iam.example:group:vo.a:role=member"]
    assert reason(verdict).count("no namespace of this issuer") == 2


def test_an_issuer_without_namespaces_gives_no_entitlement() -> None:
    verdict = try_claims(issuer(MEMBERS, profile="keycloak"), {"entitlements": [E + "vo.a:role=member"]})
    assert verdict == ClaimResult()


def test_a_whole_entitlement_is_compared_without_its_authority() -> None:
    for authority, gives in [("#aai.egi.eu", ["ops"]), ("", ["ops"]), ("x#aai.egi.eu", [])]:
        value = E + "isthmus.egi.eu:role=federation-operator" + authority
        assert given_by(try_claims(issuer(OPS), {"entitlements": [value]})) == gives


def test_a_capability_is_matched_whole() -> None:
    rule = Rule("cap", Give.FEDERATION_AUDITOR, entitlement="urn:mace:egi.eu:res:isthmus:act:audit")
    claims = {"entitlements": ["urn:mace:egi.eu:res:isthmus:act:audit#aai.egi.eu"]}
    assert given_by(try_claims(issuer(rule), claims)) == ["cap"]
    assert given_by(try_claims(issuer(rule), {"entitlements": ["urn:mace:egi.eu:res:isthmus:act:audit:more"]})) == []


@pytest.mark.parametrize(
    ("value", "gives"),
    [
        (GOC_VALUE, ["goc"]),
        (GOC_VALUE.replace("EXAMPLE-SITE", "OTHER-SITE"), []),
        (GOC_VALUE.replace("EXAMPLE-SITE", "EXAMPLE-SITE-2"), []),
        (GOC_VALUE.replace("Site+Operations+Manager", "Site+Operations+Deputy+Manager"), []),
        (GOC_VALUE.replace("+", "%20"), []),
        (GOC_VALUE.replace("1234G0", "99:1234G0"), []),
        (GOC_VALUE.replace("@egi.eu", ""), []),
        (GOC_VALUE.replace("egi.eu:goc", "evil.eu:goc"), []),
        (E + "goc.egi.eu:1234G0:EXAMPLE-SITE:Site+Operations+Manager@egi.eu", []),
    ],
)
def test_a_role_in_gocdb_makes_a_site_operator_of_that_site(value: str, gives: list[str]) -> None:
    verdict = try_claims(issuer(GOC), {"eduperson_entitlement": [value]})
    assert given_by(verdict) == gives
    assert [each.site for each in verdict.given] == ["example"] * len(gives)


@pytest.mark.parametrize(
    ("profile", "claims", "gives"),
    [
        ("indigo-iam", {"groups": ["vo", "vo/prod"]}, ["plain"]),
        ("indigo-iam", {"groups": ["vo"]}, []),
        ("indigo-iam", {"groups": ["vo/prod/deep"]}, []),
        ("indigo-iam", {"groups": ["vo//prod"]}, []),
        ("indigo-iam", {"groups": ["/vo/prod"]}, []),
        ("indigo-iam", {"wlcg.groups": ["/vo/prod"]}, []),
        ("wlcg-iam", {"wlcg.groups": ["/vo", "/vo/prod"]}, ["plain"]),
        ("wlcg-iam", {"wlcg": {"groups": ["/vo/prod"]}}, []),
        ("wlcg-iam", {"groups": ["/vo/prod"]}, []),
        ("keycloak", {"groups": ["/vo/prod"]}, ["plain"]),
        ("keycloak", {"groups": ["vo/prod"]}, []),  # without "Full group path" it may be any subgroup
        ("keycloak", {"groups": ["prod"]}, []),
        ("keycloak", {"groups": ["/evil/vo/prod"]}, []),
        ("keycloak", {"groups": ["/vo~/prod"]}, []),
        ("keycloak", {"groups": ["/\ud800/prod", "/\x00", "/\u202evo"]}, []),
        ("egi-check-in", {"groups": ["/vo/prod"]}, []),
        ("egi-check-in", {"entitlements": [E + "vo:prod"]}, ["plain"]),
        ("egi-check-in", {"entitlements": [E + "vo/prod"]}, []),  # the path is a list, not one string
        ("egi-check-in", {"entitlements": [E + "vo:prod:role=member"]}, []),
    ],
)
def test_plain_groups_are_read_from_the_profiles_claims(profile: str, claims: dict[str, Any], gives: list[str]) -> None:
    assert given_by(try_claims(issuer(PLAIN, profile=profile), claims)) == gives


def test_a_plain_group_has_no_role() -> None:
    rules = (Rule("r", Give.MEMBER, group=("vo",), role="member", tenant="t"),)
    for value in ("/vo", "/vo:role=member", "/vo/role=member"):
        assert try_claims(issuer(*rules, profile="keycloak"), {"groups": [value]}).given == ()


def test_keycloak_roles_are_read_from_the_realm_and_our_client() -> None:
    realm = Rule("realm", Give.FEDERATION_AUDITOR, realm_role="auditor")
    client = Rule("client", Give.FEDERATION_OPERATOR, client_role="operator")
    keycloak = issuer(realm, client, profile="keycloak")
    roles = {"realm_access": {"roles": ["auditor", "operator"]}, "resource_access": {"other": {"roles": ["operator"]}}}
    assert given_by(try_claims(keycloak, roles)) == ["realm"]
    ours = {"resource_access": {"isthmus": {"roles": ["operator", "auditor"]}}}
    assert given_by(try_claims(keycloak, ours)) == ["client"]
    for odd in ("text", ["list"], {"roles": "operator"}, {"isthmus": ["operator"]}, None, 5):
        assert try_claims(keycloak, {"realm_access": odd, "resource_access": odd}).given == ()


@pytest.mark.parametrize(
    "value", [E + "vo.a:role=member", {"0": E + "vo.a:role=member"}, 5, True, {}, "", [E + "vo.a:role=member"]]
)
def test_only_a_json_list_counts_as_a_list(value: Any) -> None:
    verdict = try_claims(issuer(MEMBERS), {"entitlements": value})
    assert given_by(verdict) == (["members"] if isinstance(value, list) else [])
    assert verdict.is_known == isinstance(value, list)
    assert ("not a list" in reason(verdict)) != isinstance(value, list)


@pytest.mark.parametrize("value", [None, 5, True, ["nested"], {"a": "b"}, 1.5])
def test_malformed_values_in_the_list_are_ignored(value: Any) -> None:
    verdict = try_claims(issuer(MEMBERS), {"entitlements": [value, E + "vo.a:role=member"]})
    assert given_by(verdict) == ["members"]
    assert reason(verdict) == "It is not a text."


@pytest.mark.parametrize(
    ("claims", "decided"),
    [
        ({}, []),
        ({"sub": "x", "email": "a@b.c"}, []),
        ({"entitlements": None}, []),
        ({"entitlements": []}, ["members"]),
        ({"eduperson_entitlement": []}, ["members"]),
        ({"entitlements": ["odd"]}, ["members"]),
    ],
)
def test_a_missing_claim_is_unknown_and_an_empty_one_is_empty(claims: dict[str, Any], decided: list[str]) -> None:
    verdict = try_claims(issuer(MEMBERS), claims)
    assert (given_by(verdict), sorted(verdict.decided), verdict.is_known) == ([], decided, bool(decided))


def test_a_rule_that_reads_two_claims_needs_both_to_remove() -> None:
    both = issuer(MEMBERS, PLAIN, profile="keycloak", namespaces=frozenset({"urn:mace:egi.eu"}))
    assert try_claims(both, {"groups": []}).decided == set()
    assert try_claims(both, {"entitlements": []}).decided == {"members"}
    assert try_claims(both, {"entitlements": [], "groups": []}).decided == {"members", "plain"}
    groups_only = issuer(PLAIN, profile="keycloak")
    assert try_claims(groups_only, {"groups": []}).decided == {"plain"}


def test_both_names_of_the_claim_are_combined() -> None:
    claims = {"entitlements": [E + "vo.a:role=member"], "eduperson_entitlement": [E + "vo.a:role=manager"]}
    assert given_by(try_claims(issuer(MEMBERS, MANAGERS), claims)) == ["members", "managers"]


def test_ninety_entitlements_are_all_read() -> None:
    values = [E + f"vo.{number}:role=member#aai.egi.eu" for number in range(89)]
    verdict = try_claims(issuer(MEMBERS), {"entitlements": [*values, E + "vo.a:role=member#aai.egi.eu"]})
    assert given_by(verdict) == ["members"]
    assert len(verdict.ignored) == 89


def test_too_long_a_value_is_ignored() -> None:
    rule = Rule("long", Give.MEMBER, group=("v" * 2000,), role="member", tenant="t")
    verdict = try_claims(issuer(MEMBERS, rule), {"entitlements": [E + "v" * 2000 + ":role=member"]})
    assert verdict.given == ()
    assert "1,024" in reason(verdict)
    assert len(verdict.ignored[0].value) <= 200


def test_beyond_2000_values_the_rest_is_ignored_and_nothing_is_removed() -> None:
    values = [E + "x"] * 1999
    last = E + "vo.a:role=member"
    assert given_by(try_claims(issuer(MEMBERS), {"entitlements": [*values, last]})) == ["members"]
    verdict = try_claims(issuer(MEMBERS), {"entitlements": [*values, "x", last]})
    assert (given_by(verdict), sorted(verdict.decided)) == ([], [])
    assert "2,000" in reason(verdict)


def test_the_first_rule_that_gives_a_membership_is_named() -> None:
    twin = Rule("twin", Give.MEMBER, group=("vo.b",), role="member", tenant="vo-a")
    claims = {"entitlements": [E + "vo.b:role=member", E + "vo.a:role=member"]}
    assert given_by(try_claims(issuer(MEMBERS, twin), claims)) == ["members"]
    assert given_by(try_claims(issuer(twin, MEMBERS), claims)) == ["twin"]


def test_a_star_matches_one_path_part_and_its_group_gets_its_own_tenant() -> None:
    rule = Rule("any", Give.MEMBER, group=("*",), role="member", tenant="{1}")
    them = issuer(rule, create_tenants=("*.example.org",))
    values = [E + name + ":role=member" for name in ("vo.example.org", "vo.elsewhere.org", "vo.example.org:sub")]
    verdict = try_claims(them, {"entitlements": values})
    assert [(each.tenant, each.community, each.may_create) for each in verdict.given] == [
        ("vo-example-org", "vo.example.org", "vo.example.org"),
        ("vo-elsewhere-org", "vo.elsewhere.org", ""),
    ]


def test_two_communities_with_the_same_slug_stay_separate() -> None:
    rule = Rule("any", Give.MEMBER, group=("*",), role="member", tenant="{1}")
    verdict = try_claims(issuer(rule), {"entitlements": [E + "vo.a:role=member", E + "vo-a:role=member"]})
    assert [each.community for each in verdict.given] == ["vo.a", "vo-a"]


@pytest.mark.parametrize("name", ["vo.example.org", "VO", "a" * 300, "--", "%C3%B8", "日本", "a_b c"])
def test_every_community_gets_a_slug(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9][a-z0-9-]{0,49}", slug_for(name))
