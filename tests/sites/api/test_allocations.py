"""/allocations: who may see, give, change and revoke an allocation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from controlplane.audit.models import Event
from sites.models import Allocation
from tests.factories import make_allocation, make_site, make_tenant

if TYPE_CHECKING:
    from tests.federation import Caller, Federation


@pytest.fixture
def ours(federation: Federation) -> Allocation:
    """The allocation of climate at Vega, nearly used up."""
    return make_allocation(
        federation.climate, federation.vega, pods=10, cpus=64, gpus={"a100": 4}, cpu_hours=100, used_pods=1,
        used_cpus=32, used_gpus={"a100": 3}, spent_cpu_seconds=80 * 3600, reserved_cpu_seconds=10 * 3600,
    )  # fmt: skip


def seen(caller: Caller, **query: Any) -> list[tuple[str, str]]:
    answer = caller.get("allocations", **query)
    assert answer.status == 200, answer.text
    return [(row["tenant"], row["site"]) for row in answer.json["items"]]


def test_each_role_sees_its_allocations(federation: Federation, ours: Allocation) -> None:
    theirs = make_allocation(federation.physics, federation.juno)
    assert seen(federation.alice) == seen(federation.adam) == seen(federation.vera) == [("climate", "vega")]
    assert seen(federation.bob) == seen(federation.juna) == [("physics", "juno")]
    both = [("physics", "juno"), ("climate", "vega")]
    assert seen(federation.olga) == seen(federation.ada) == both
    assert seen(federation.olga, tenant="climate") == seen(federation.olga, site="vega") == [("climate", "vega")]
    assert federation.alice.get(f"allocations/{theirs.pk}").status == 404
    assert federation.juna.get(f"allocations/{ours.pk}").status == 404
    assert federation.nora.get("allocations").status == 403


def test_an_allocation_shows_what_is_used_and_left(federation: Federation, ours: Allocation) -> None:
    told = federation.adam.get(f"allocations/{ours.pk}").json
    assert told["limits"] == {
        "pods": 10, "cpus": 64, "memory": None, "gpus": {"a100": 4}, "cpu_hours": 100.0, "gpu_hours": None,
    }  # fmt: skip
    assert (told["used"]["cpus"], told["used"]["gpus"], told["used"]["cpu_hours"]) == (32, {"a100": 3}, 90.0)
    assert (told["spent"]["cpu_hours"], told["reserved"]["cpu_hours"]) == (80.0, 10.0)
    assert (told["left"]["pods"], told["left"]["gpus"], told["left"]["memory"]) == (9, {"a100": 1}, None)
    assert told["near"] == {"limit": "cpu_hours", "share": 0.9}
    assert (told["period"]["kind"], told["reason"]) == ("month", "")


def test_a_revoked_allocation_says_so(federation: Federation, ours: Allocation) -> None:
    told = federation.vera.post(f"allocations/{ours.pk}/revoke").json
    assert (told["enabled"], told["reason"]) == (False, "AllocationRevoked")
    assert "Climate at Vega was revoked" in federation.adam.get(f"allocations/{ours.pk}").json["message"]
    assert federation.vera.patch(f"allocations/{ours.pk}", {"enabled": True}).json["reason"] == ""


def test_a_site_operator_gives_a_tenant_its_first_allocation(federation: Federation) -> None:
    terms = {"tenant": "climate", "site": "vega", "cpus": 8, "valid_until": "2036-01-01T00:00:00Z"}
    answer = federation.vera.post("allocations", terms)
    assert (answer.status, answer.json["tenant"], answer.json["limits"]["cpus"]) == (201, "climate", 8)
    event = Event.objects.get(verb="allocation.grant", object_id=str(answer.json["id"]))
    assert (event.actor, event.site, event.tenant_id) == ("Vera", "vega", federation.climate.pk)
    again = federation.vera.post("allocations", terms)
    assert (again.status, again.json["code"]) == (409, "conflict")


@pytest.mark.parametrize(
    ("who", "status"),
    [("olga", 201), ("vera", 201), ("juna", 400), ("ada", 403), ("alice", 403), ("adam", 403), ("bob", 403)],
)
def test_only_operators_may_give_an_allocation(federation: Federation, who: str, status: int) -> None:
    answer = getattr(federation, who).post("allocations", {"tenant": "climate", "site": "vega"})
    assert answer.status == status, answer.text
    assert Allocation.objects.exists() is (status == 201)


@pytest.mark.parametrize(("who", "status"), [("olga", 200), ("vera", 200), ("juna", 404), ("ada", 403), ("alice", 403)])
def test_only_operators_may_change_and_revoke_an_allocation(
    federation: Federation, ours: Allocation, who: str, status: int
) -> None:
    caller = getattr(federation, who)
    assert caller.patch(f"allocations/{ours.pk}", {"cpus": 1}).status == status
    assert caller.post(f"allocations/{ours.pk}/revoke").status == status
    ours.refresh_from_db()
    assert (ours.cpus == 1, ours.enabled) == (status == 200, status != 200)


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"cpus": -1}, "cpus"),
        ({"cpus": "many"}, "cpus"),
        ({"gpus": {"a100": -1}}, "gpus.a100"),
        ({"colour": "red"}, "colour"),
        ({"valid_until": "2001-01-01T00:00:00Z"}, "valid_until"),
        ({"flavors": ["none"]}, "flavors"),
        ({"local_account": "; rm"}, "local_account"),
        ({"tenant": "nobody"}, "tenant"),
        ({"site": "nowhere"}, "site"),
    ],
)
def test_invalid_terms_are_refused_by_name(federation: Federation, terms: dict[str, Any], field: str) -> None:
    answer = federation.olga.post("allocations", {"tenant": "climate", "site": "vega", **terms})
    assert (answer.status, answer.json["errors"][0]["field"]) == (400, field)


def test_the_list_takes_as_many_statements_for_many_as_for_one(federation: Federation, ours: Allocation) -> None:
    before = federation.olga.statements("allocations")
    for _ in range(5):
        make_allocation(make_tenant(), make_site())
    assert len(federation.olga.get("allocations").json["items"]) == 6
    assert federation.olga.statements("allocations") == before
