"""/jobs: who sees which jobs, and every filter."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from django.utils import timezone

from jobs import lifecycle, queries
from jobs.lifecycle import Move
from jobs.models import Job
from jobs.states import State
from sites.models import Allocation
from tests.factories import make_job, make_node, make_pod, make_request, make_service
from tests.federation import Caller

if TYPE_CHECKING:
    from controlplane.tenants.models import Tenant
    from sites.models import Site
    from tests.federation import Federation

NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


def a_job(tenant: Tenant, site: Site, name: str = "train", namespace: str = "research", **fields: Any) -> Job:
    node = make_node(tenant=tenant, site=site)[0]
    return make_job(node=node, site=site, request=make_request(make_pod(name=name, namespace=namespace)), **fields)


def names(caller: Caller, **query: Any) -> list[str]:
    answer = caller.get("jobs", **query)
    assert answer.status == 200, answer.text
    return [job["name"] for job in answer.json["items"]]


def test_each_role_sees_its_own_jobs_only(federation: Federation) -> None:
    ours = a_job(federation.climate, federation.vega, "ours")
    theirs = a_job(federation.physics, federation.juno, "theirs")
    for caller in (federation.alice, federation.adam, federation.vera):
        assert names(caller) == ["ours"]
        assert caller.get(f"jobs/{ours.key}").status == 200
        assert caller.get(f"jobs/{theirs.key}").status == 404
    for caller in (federation.bob, federation.juna):
        assert names(caller) == ["theirs"]
        assert caller.get(f"jobs/{ours.key}").status == 404
    for caller in (federation.olga, federation.ada):
        assert names(caller) == ["theirs", "ours"]
    assert federation.nora.get("jobs").status == 403
    assert federation.nora.get(f"jobs/{ours.key}").status == 403


def test_a_site_operator_sees_a_job_whose_tenant_has_no_allocation_any_more(federation: Federation) -> None:
    a_job(federation.climate, federation.vega)
    Job.objects.update(allocation=None, is_counted=False, reserved_cpu_seconds=0, reserved_gpu_seconds=0)
    Allocation.objects.all().delete()
    [job] = federation.vera.get("jobs").json["items"]
    assert (job["site"], job["tenant"]) == ("vega", None)
    [job] = federation.alice.get("jobs").json["items"]
    assert job["tenant"] == "climate"


def test_the_filters(federation: Federation) -> None:
    early = a_job(federation.climate, federation.vega, "early-train", created_at=NOON - timedelta(days=1))
    a_job(federation.climate, federation.juno, "late-test", "tests", state=State.SUCCEEDED, ended_at=NOON)
    a_job(federation.physics, federation.vega, "other", state=State.RUNNING)
    olga = federation.olga
    assert names(olga, tenant="climate") == ["late-test", "early-train"]
    assert names(olga, site="vega") == ["other", "early-train"]
    assert names(olga, node=early.node.slug if early.node else "") == ["early-train"]
    assert names(olga, state=["running", "succeeded"]) == ["other", "late-test"]
    assert names(olga, namespace="tests") == ["late-test"]
    assert names(olga, name="train") == ["early-train"]
    assert names(olga, created_until=NOON - timedelta(hours=1)) == ["early-train"]
    assert names(olga, created_from=NOON - timedelta(hours=1), tenant="physics") == ["other"]
    assert names(olga, ended_from=NOON, ended_until=NOON + timedelta(seconds=1)) == ["late-test"]
    assert names(olga, ended_from=NOON + timedelta(seconds=1)) == []
    assert names(federation.alice, tenant="physics") == []


@pytest.mark.parametrize(
    "query", [{"state": "asleep"}, {"created_from": "noon"}, {"colour": "red"}, {"cursor": "x"}, {"name": "a\0"}]
)
def test_an_invalid_filter_is_refused_by_name(federation: Federation, query: dict[str, str]) -> None:
    answer = federation.olga.get("jobs", **query)
    assert answer.status == 400
    assert next(iter(query)) in answer.json["errors"][0]["field"]


def test_the_filter_mine_shows_what_the_caller_submitted(federation: Federation) -> None:
    a_job(federation.climate, federation.vega, "by-a-cluster")
    service = make_service(tenant=federation.climate)
    own = {"node": None, "polled_minute": 0}
    for name, by in (("by-alice", {"person": federation.alice.person}), ("by-a-program", {"service": service})):
        job = a_job(federation.climate, federation.vega, name)
        Job.objects.filter(pk=job.pk).update(**own, **by)
    program = Caller(service, federation.alice.api)
    assert names(federation.alice, mine="true") == ["by-alice"]
    assert names(federation.alice, mine="false") == ["by-a-program", "by-a-cluster"]
    assert names(program, mine="true") == ["by-a-program"]
    told = {job["name"]: job["submitted_by"] for job in federation.adam.get("jobs").json["items"]}
    assert told == {
        "by-alice": {"kind": "person", "name": "Alice"},
        "by-a-program": {"kind": "service", "name": service.slug},
        "by-a-cluster": None,
    }


def test_the_pages_hold_every_job_once_newest_first(federation: Federation) -> None:
    for number in range(7):
        a_job(federation.climate, federation.vega, f"job-{number}")
    address: str | None = "/api/v1/jobs?limit=3&site=vega"
    seen: list[str] = []
    pages = 0
    while address:
        page = federation.alice.get(address).json
        seen += [job["name"] for job in page["items"]]
        address, pages = page["next"], pages + 1
    assert seen == [f"job-{number}" for number in reversed(range(7))]
    assert pages == 3


def test_the_list_takes_as_many_statements_for_many_jobs_as_for_one(federation: Federation) -> None:
    a_job(federation.climate, federation.vega)
    callers = (federation.alice, federation.vera)
    one = [caller.statements("jobs") for caller in callers]
    for _ in range(5):
        a_job(federation.climate, federation.vega)
    assert [len(caller.get("jobs").json["items"]) for caller in callers] == [6, 6]
    assert [caller.statements("jobs") for caller in callers] == one


def test_a_job_shows_all_its_details(federation: Federation) -> None:
    job = a_job(federation.climate, federation.vega, state=State.RUNNING, cpus=2, partition="gpu")
    started = NOON.timestamp()
    lifecycle.move(
        [Move(job.pk, job.attempt, changes={"observed": {"main": {"started": started, "restart": 0}}})], now=NOON
    )
    told = federation.adam.get(f"jobs/{job.key}").json
    assert (told["uid"], told["native_id"], told["partition"]) == (str(job.pod_uid), job.native_id, "gpu")
    [container] = told["containers"]
    assert (container["name"], container["state"]) == ("main", "running")
    assert container["started_at"] == "2026-11-25T12:00:00Z"
    assert [line["new"] for line in told["history"]] == ["running"]
    assert (told["waits"], told["usage"], told["exit_code"]) == ("", [], None)
    lifecycle.move(
        [
            Move(
                job.pk,
                job.attempt,
                State.FAILED,
                {"exit_code": 3, "reason": "Error", "observed": {"main": {"started": started, "code": 3}}},
            )
        ],
        now=NOON + timedelta(hours=1),
    )
    told = federation.adam.get(f"jobs/{job.key}").json
    assert (told["state"], told["exit_code"], told["containers"][0]["exit_code"]) == ("failed", 3, 3)
    assert [line["new"] for line in told["history"]] == ["running", "failed"]
    assert told["usage"][0]["outcome"] == "failed"


def test_a_waiting_job_shows_the_reason(federation: Federation) -> None:
    message = "Jobs of higher priority are before it."
    job = a_job(federation.climate, federation.vega, state=State.PENDING, reason="Priority", message=message)
    assert federation.alice.get(f"jobs/{job.key}").json["waits"] == message


def test_a_pods_config_maps_and_secrets_are_shown_to_nobody(federation: Federation) -> None:
    pod = make_pod()
    pod["spec"]["containers"][0]["env"] = [{"name": "PASSWORD", "value": "hush"}]
    node = make_node(tenant=federation.climate, site=federation.vega)[0]
    job = make_job(node=node, site=federation.vega, request=make_request(pod))
    assert "hush" not in federation.alice.get(f"jobs/{job.key}").text


def changed(federation: Federation, address: str) -> tuple[list[str], str]:
    """Return the names on a page of changes, and the cursor of the next page."""
    answer = federation.alice.get(address)
    assert answer.status == 200, answer.text
    return [job["name"] for job in answer.json["items"]], answer.json["next"]


def test_changes_are_listed_in_order_each_once_and_none_is_missed(federation: Federation) -> None:
    ago = timezone.now() - timedelta(minutes=10)
    jobs = [a_job(federation.climate, federation.vega, f"job-{number}") for number in range(5)]
    for number, job in enumerate(jobs):  # two jobs changed at the same time
        Job.objects.filter(pk=job.pk).update(changed_at=ago + timedelta(seconds=number // 2))
    seen: list[str] = []
    address = f"/api/v1/jobs?limit=2&changed_since={ago:%Y-%m-%dT%H:%M:%SZ}"
    for _ in range(3):
        page, address = changed(federation, address)
        seen += page
    assert seen == [f"job-{number}" for number in range(5)]

    # Nothing has changed: the same cursor stays valid, and a later change is listed once.
    assert changed(federation, address) == ([], address)
    Job.objects.filter(pk=jobs[0].pk).update(changed_at=timezone.now() - timedelta(minutes=1))
    page, following = changed(federation, address)
    assert page == ["job-0"]
    assert changed(federation, following) == ([], following)


def test_a_change_is_listed_only_after_all_earlier_ones_are_committed(federation: Federation) -> None:
    job = a_job(federation.climate, federation.vega)
    address = f"/api/v1/jobs?changed_since={NOON:%Y-%m-%dT%H:%M:%SZ}"
    Job.objects.filter(pk=job.pk).update(changed_at=timezone.now())
    assert changed(federation, address)[0] == []
    Job.objects.filter(pk=job.pk).update(changed_at=timezone.now() - timedelta(seconds=6))
    assert changed(federation, address)[0] == ["train"]


@pytest.mark.django_db(transaction=True)
def test_a_change_that_is_committed_late_is_not_missed(
    federation: Federation, database_urls: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "SETTLED", timedelta(seconds=1))
    late, prompt = (a_job(federation.climate, federation.vega, name) for name in ("late", "prompt"))
    Job.objects.update(changed_at=NOON - timedelta(days=1))
    address = f"/api/v1/jobs?changed_since={NOON:%Y-%m-%dT%H:%M:%SZ}"
    with psycopg.connect(database_urls["owner"]) as elsewhere:
        elsewhere.execute("UPDATE jobs_job SET changed_at = clock_timestamp() WHERE id = %s", [late.pk])
        lifecycle.move([Move(prompt.pk, prompt.attempt, changes={"message": "Changed."})], now=timezone.now())
        page, address = changed(federation, address)
        assert page == []
    time.sleep(1.1)
    assert changed(federation, address)[0] == ["late", "prompt"]


def test_a_move_records_the_time_at_which_it_is_written(federation: Federation) -> None:
    job = a_job(federation.climate, federation.vega)
    long_ago = timezone.now() - timedelta(hours=1)
    lifecycle.move([Move(job.pk, job.attempt, changes={"message": "Told an hour ago."})], now=long_ago)
    job.refresh_from_db()
    assert timezone.now() - job.changed_at < timedelta(minutes=1)
