"""/requests: what a manager requests, and who decides."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from sites.models import Allocation
from tests.factories import make_allocation, make_service
from tests.federation import MANAGER, Caller

if TYPE_CHECKING:
    from tests.federation import Federation

ASKED = {
    "kind": "allocation",
    "tenant": "climate",
    "site": "vega",
    "payload": {"cpus": 8, "valid_until": "2036-01-01T00:00:00Z"},
    "justification": "The reanalysis.",
}


def ask(caller: Caller, **changes: Any) -> int:
    answer = caller.post("requests", {**ASKED, **changes})
    assert answer.status == 201, answer.text
    return int(answer.json["id"])


def test_a_request_is_granted_unchanged(federation: Federation) -> None:
    number = ask(federation.alice)
    told = federation.vera.get(f"requests/{number}").json
    assert (told["tenant"], told["state"], told["asked_by"]) == ("climate", "open", "Alice")
    decided = federation.vera.post(f"requests/{number}/decide", {"grant": True})
    assert (decided.status, decided.json["state"], decided.json["decided_by"]) == (200, "granted", "Vera")
    allocation = Allocation.objects.get(tenant=federation.climate, site=federation.vega)
    assert (allocation.cpus, decided.json["subject"]) == (8, allocation.pk)
    again = federation.vera.post(f"requests/{number}/decide", {"grant": False, "reason": "No."})
    assert (again.status, again.json["code"]) == (409, "conflict")


def test_a_request_is_granted_with_changes(federation: Federation) -> None:
    number = ask(federation.alice)
    decided = federation.olga.post(f"requests/{number}/decide", {"grant": True, "payload": {"cpus": 4}}).json
    assert (decided["state"], decided["decision"]) == ("changed", {"cpus": 4})
    assert Allocation.objects.get(tenant=federation.climate).cpus == 4


def test_a_request_is_declined_with_a_reason_that_the_requester_reads(federation: Federation) -> None:
    number = ask(federation.alice)
    without = federation.vera.post(f"requests/{number}/decide", {"grant": False})
    assert (without.status, without.json["errors"][0]["field"]) == (400, "reason")
    federation.vera.post(f"requests/{number}/decide", {"grant": False, "reason": "Vega is full."})
    told = federation.alice.get(f"requests/{number}").json
    assert (told["state"], told["reason"]) == ("declined", "Vega is full.")
    assert not Allocation.objects.exists()


def test_an_extension_names_its_allocation(federation: Federation) -> None:
    allocation = make_allocation(federation.climate, federation.vega, cpus=2)
    number = ask(federation.alice, kind="extension", subject=allocation.pk, payload={"cpus": 16})
    federation.vera.post(f"requests/{number}/decide", {"grant": True})
    allocation.refresh_from_db()
    assert allocation.cpus == 16


def test_the_requester_may_withdraw_a_request(federation: Federation) -> None:
    number = ask(federation.alice)
    assert federation.bob.post(f"requests/{number}/withdraw").status == 404
    assert federation.vera.post(f"requests/{number}/withdraw").status == 403
    assert federation.alice.post(f"requests/{number}/withdraw").json["state"] == "withdrawn"
    assert federation.alice.post(f"requests/{number}/withdraw").status == 409


def test_a_program_that_manages_may_request(federation: Federation) -> None:
    program = Caller(make_service(tenant=federation.climate, role=MANAGER), federation.alice.api)
    assert program.get(f"requests/{ask(program)}").json["asked_by"] is None


@pytest.mark.parametrize(
    ("who", "status"),
    [("alice", 200), ("vera", 200), ("olga", 200), ("ada", 200), ("bob", 404), ("juna", 404), ("adam", 403)],
)
def test_each_role_sees_the_requests_within_reach(federation: Federation, who: str, status: int) -> None:
    number = ask(federation.alice)
    assert getattr(federation, who).get(f"requests/{number}").status == status
    listed = getattr(federation, who).get("requests")
    assert [row["id"] for row in listed.json.get("items", [])] == ([number] if status == 200 else [])


@pytest.mark.parametrize(("who", "status"), [("alice", 403), ("juna", 404), ("ada", 403), ("bob", 403)])
def test_the_requester_and_other_sites_operators_may_not_decide(federation: Federation, who: str, status: int) -> None:
    number = ask(federation.alice)
    assert getattr(federation, who).post(f"requests/{number}/decide", {"grant": True}).status == status


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"kind": "pony"}, "kind"),
        ({"payload": {"cpus": -1}}, "payload.cpus"),
        ({"payload": {"colour": 1}}, "payload.colour"),
        ({"site": "nowhere"}, "site"),
        ({"kind": "extension"}, "subject"),
        ({"tenant": "physics"}, "tenant"),
    ],
)
def test_an_invalid_request_is_refused_by_name(federation: Federation, changes: dict[str, Any], field: str) -> None:
    answer = federation.alice.post("requests", {**ASKED, **changes})
    assert answer.status == 400, answer.text
    assert answer.json["errors"][0]["field"] == field


def test_the_same_request_cannot_be_open_twice(federation: Federation) -> None:
    ask(federation.alice)
    assert federation.alice.post("requests", ASKED).status == 409
    assert federation.adam.post("requests", ASKED).status == 403


def test_the_filters(federation: Federation) -> None:
    first = ask(federation.alice)
    federation.alice.post(f"requests/{first}/withdraw")
    second = ask(federation.alice)
    third = ask(federation.bob, tenant="physics", site="juno")

    def listed(**query: Any) -> list[int]:
        return [row["id"] for row in federation.olga.get("requests", **query).json["items"]]

    assert listed() == [third, second, first]
    assert listed(state="open") == [third, second]
    assert listed(state=["withdrawn", "granted"]) == [first]
    assert listed(site="juno") == listed(tenant="physics") == [third]
    assert listed(kind="extension") == []


def test_the_list_takes_as_many_statements_for_many_as_for_one(federation: Federation) -> None:
    federation.alice.post(f"requests/{ask(federation.alice)}/withdraw")
    before = federation.vera.statements("requests")
    for _ in range(3):
        federation.alice.post(f"requests/{ask(federation.alice)}/withdraw")
    assert len(federation.vera.get("requests").json["items"]) == 4
    assert federation.vera.statements("requests") == before
