"""/usage: sums of the sites' own figures, by role, by group, and as CSV."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from jobs.accounting import totals
from jobs.models import UsageRecord, new_key

if TYPE_CHECKING:
    from controlplane.tenants.models import Tenant
    from sites.models import Site
    from tests.federation import Caller, Federation

NOVEMBER = datetime(2026, 11, 3, 12, tzinfo=UTC)
OCTOBER = datetime(2026, 10, 31, 23, 59, tzinfo=UTC)


def record(tenant: Tenant, site: Site, *, hours: float = 1, ended: datetime = NOVEMBER, **fields: Any) -> UsageRecord:
    """Create the usage record of an attempt on two cores and one GPU."""
    seconds = round(hours * 3600)
    return UsageRecord.objects.create(
        **{
            "tenant": tenant,
            "site": site,
            "attempt_key": new_key(),
            "native_id": "1",
            "pod": "research/train",
            "started_at": ended - timedelta(seconds=seconds),
            "ended_at": ended,
            "cpus": 2,
            "gpus": 1,
            "nodes": 1,
            "cpu_seconds": 2 * seconds,
            "gpu_seconds": seconds,
            "outcome": "succeeded",
            "recorded_at": ended,
            **fields,
        }
    )


@pytest.fixture
def recorded(federation: Federation) -> Federation:
    """Records of November: climate 3 hours at Vega (1 by Adam), physics 5 there. Of October: climate 1 hour at Juno."""
    record(federation.climate, federation.vega, hours=2)
    record(federation.climate, federation.vega, hours=1, person=federation.adam.person, estimated=True)
    record(federation.climate, federation.juno, hours=1, ended=OCTOBER)
    record(federation.physics, federation.vega, hours=5)
    return federation


def groups(caller: Caller, **query: Any) -> list[tuple[Any, ...]]:
    answer = caller.get("usage", **query)
    assert answer.status == 200, answer.text
    by = answer.json["group_by"]
    return [(*(group[name] for name in by), group["cpu_hours"]) for group in answer.json["groups"]]


def test_each_role_sees_the_usage_of_its_tenants_and_sites(recorded: Federation) -> None:
    ours = [("climate", "juno", 2.0), ("climate", "vega", 6.0)]
    assert groups(recorded.alice) == groups(recorded.adam) == ours
    assert groups(recorded.bob) == [("physics", "vega", 10.0)]
    assert groups(recorded.olga) == groups(recorded.ada) == [*ours, ("physics", "vega", 10.0)]
    assert sorted(groups(recorded.vera, group_by="site")) == [("vega", 16.0)]
    assert recorded.nora.get("usage").status == 403


def test_the_groups_are_chosen_by_parameter(recorded: Federation) -> None:
    alice = recorded.alice
    assert groups(alice, group_by="month") == [("2026-10", 2.0), ("2026-11", 6.0)]
    assert groups(alice, group_by="person", site="vega") == [("Adam", 2.0), (None, 4.0)]
    assert groups(alice, group_by="tenant,month", until="2026-11-01T00:00:00Z") == [("climate", "2026-10", 2.0)]
    assert groups(alice, group_by="site", **{"from": "2026-11-01T00:00:00Z"}) == [("vega", 6.0)]
    assert groups(alice, tenant="physics") == []
    total = alice.get("usage").json["total"]
    assert total == {"jobs": 3, "cpu_hours": 8.0, "gpu_hours": 4.0, "wall_hours": 4.0, "estimated_share": 0.25}


@pytest.mark.parametrize("query", [{"group_by": "colour"}, {"group_by": ""}, {"from": "once"}, {"format": "xml"}])
def test_an_invalid_query_is_refused_by_name(federation: Federation, query: dict[str, str]) -> None:
    answer = federation.alice.get("usage", **query)
    assert answer.status == 400
    assert answer.json["errors"][0]["field"] == next(iter(query))


def test_usage_is_available_as_csv(recorded: Federation) -> None:
    answer = recorded.alice.get("usage", group_by="site", format="csv")
    assert answer.headers["content-type"].startswith("text/csv")
    rows = list(csv.reader(io.StringIO(answer.text)))
    assert rows[0] == ["site", "jobs", "cpu_hours", "gpu_hours", "wall_hours", "estimated_share"]
    assert rows[1] == ["juno", "1", "2.0", "1.0", "1.0", "0.0"]
    bad = recorded.alice.get("usage", format="csv", group_by="colour")
    assert (bad.status, bad.headers["content-type"]) == (400, "application/problem+json")


def test_a_name_cannot_become_a_spreadsheet_formula(recorded: Federation) -> None:
    recorded.adam.person.name = '=HYPERLINK("http://evil.example")'
    recorded.adam.person.save()
    rows = list(csv.reader(io.StringIO(recorded.alice.get("usage", group_by="person", format="csv").text)))
    assert rows[1][0] == '\'=HYPERLINK("http://evil.example")'


def test_one_statement_suffices_for_any_number_of_records(recorded: Federation) -> None:
    address = "usage?group_by=tenant,site,person,month"
    before = recorded.olga.statements(address)
    for number in range(5):
        record(recorded.physics, recorded.juno, ended=NOVEMBER - timedelta(days=40 * number))
    assert recorded.olga.statements(address) == before


def test_too_many_groups_are_refused(recorded: Federation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(totals, "MOST_GROUPS", 1)
    answer = recorded.alice.get("usage")
    assert (answer.status, answer.json["errors"][0]["field"]) == (400, "group_by")
