"""The audit trail in the API: who can read which events, its filters, and its JSON lines."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.api import audit as view
from controlplane.audit import trail
from controlplane.audit.models import Event
from tests.api import PROBLEM

if TYPE_CHECKING:
    from tests.api import Api
    from tests.federation import Federation

pytestmark = pytest.mark.usefixtures("communities")


@pytest.fixture
def auditor(federation: Federation) -> str:
    """An auditor's token. The trail holds three acts beside those of making the federation."""
    x, y = federation.climate, federation.physics
    trail.record("job.cancel", "job", "k1", tenant_id=x.pk, site="vega")
    trail.record("job.cancel", "job", "k2", tenant_id=y.pk, site="juno")
    trail.record("site.drain", "site", "vega", site="vega", outcome=Event.Outcome.REFUSED)
    return federation.ada.token


def objects(api: Api, query: str, token: str) -> list[str]:
    answer = api.get(f"audit?{query}", token=token)
    assert answer.status == 200, answer.text
    return [f"{item['object_kind']}:{item['object_id']}" for item in answer.json["items"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("verb=job.cancel", ["job:k2", "job:k1"]),
        ("verb=job", ["job:k2", "job:k1"]),
        ("verb=jo", []),
        ("object=job:k1", ["job:k1"]),
        ("object=site", ["site:vega"]),
        ("object=job&tenant=climate", ["job:k1"]),
        ("object=job&tenant=nowhere", []),
        ("site=vega", ["site:vega", "job:k1"]),
        ("outcome=refused", ["site:vega"]),
        ("actor=nobody", []),
        ("verb=job&from=2000-01-01T00:00:00Z", ["job:k2", "job:k1"]),
        ("verb=job&until=2000-01-01T00:00:00Z", []),
    ],
)
def test_filters_select_events(api: Api, auditor: str, query: str, found: list[str]) -> None:
    chosen = objects(api, query, auditor)
    assert [each for each in chosen if not each.startswith("role:")] == found


def test_an_actor_is_found_by_name_and_by_number(api: Api, auditor: str, federation: Federation) -> None:
    api.post("tenants", {"slug": "geology", "name": "Geology"}, token=federation.olga.token)
    by_number = api.get(f"audit?actor=person:{federation.olga.person.pk}", token=auditor).json["items"]
    by_name = api.get("audit?actor=Olga", token=auditor).json["items"]
    assert [item["verb"] for item in by_number] == ["tenant.create"]
    assert by_name == by_number
    assert by_number[0].items() >= {"tenant": "geology", "outcome": "done", "site": ""}.items()


def test_each_caller_reads_the_events_within_reach(api: Api, auditor: str, federation: Federation) -> None:
    assert objects(api, "verb=job", federation.alice.token) == ["job:k1"]
    assert objects(api, "verb=job", federation.vera.token) == ["job:k1"]
    assert objects(api, "object=site", federation.vera.token) == ["site:vega"]
    assert objects(api, "object=site", federation.alice.token) == []
    assert api.get("audit", token=federation.adam.token).status == 403


@pytest.mark.parametrize("way", ["format=jsonl", "accept"])
def test_json_lines_hold_all_events_in_batches(
    api: Api, auditor: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(view, "_BATCH", 2)
    headers = {"Accept": "application/jsonl"} if way == "accept" else None
    answer = api.get("audit" if way == "accept" else f"audit?{way}", token=auditor, headers=headers)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/jsonl")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["id"] for line in lines] == list(Event.objects.order_by("-id").values_list("id", flat=True))
    assert lines == api.get("audit?limit=500", token=auditor).json["items"]


def test_a_managers_json_lines_hold_the_tenants_events(api: Api, auditor: str, federation: Federation) -> None:
    answer = api.get("audit?format=jsonl", token=federation.alice.token)
    tenants = {json.loads(line)["tenant"] for line in answer.text.splitlines()}
    assert tenants == {"climate"}


def test_json_lines_stop_at_a_limit(api: Api, auditor: str) -> None:
    assert len(api.get("audit?format=jsonl&limit=2", token=auditor).text.splitlines()) == 2


def test_errors_are_problem_documents_even_when_json_lines_are_requested(api: Api, auditor: str) -> None:
    for name in ("limit", "cursor"):
        answer = api.get(f"audit?format=jsonl&{name}=0", token=auditor)
        assert (answer.status, answer.headers["content-type"]) == (400, PROBLEM)
        assert answer.json["errors"][0]["field"] == name


@pytest.mark.parametrize("query", ["actor=person:99999999999999999999", "object=job:%00", "from=yesterday", "actor=:"])
def test_unusual_filter_values_do_no_harm(api: Api, auditor: str, query: str) -> None:
    assert api.get(f"audit?{query}", token=auditor).status in {200, 400}


def test_pages_of_the_trail_follow_each_other(api: Api, auditor: str) -> None:
    path, seen = "audit?limit=2", []
    while path:
        answer: dict[str, Any] = api.get(path, token=auditor).json
        seen += [item["id"] for item in answer["items"]]
        path = answer["next"]
    assert seen == list(Event.objects.order_by("-id").values_list("id", flat=True))
