"""Which site is best for a pod, and what happens to the pod there, whatever is edited meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from controlplane.auth.callers import PersonCaller
from controlplane.errors import Refused
from controlplane.tenants.models import Tenant
from jobs import admission
from jobs.accounting.counters import held_by
from jobs.models import Job, UsageRecord
from jobs.placement import routes
from jobs.placement.eligibility import Situation
from jobs.placement.explain import explain
from jobs.placement.ranking import rank
from jobs.states import State
from jobs.worker.poll import poll_due
from sites.connectors.memory.site import memory_site
from sites.models import Allocation, Flavor, Partition, Site
from sites.workload import Demand
from tests.factories import make_allocation, make_person, make_pod, make_site, make_tenant
from tests.jobs.clock import start_now, submit_now

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import Model

    from sites.connectors.memory.site import MemorySite

NOON = timezone.now()
GIB = 2**30
HOUR = 3600


def situation(name: str, *, priority: int = 0, **fields: Any) -> Situation:
    allocation = Allocation(priority=priority, used_pods=fields.pop("used", 0), pods=1, valid_from=NOON)
    site = Site(name=name, **fields)
    return Situation(Tenant(name="Alpha"), site, allocation, NOON, [])


@pytest.mark.parametrize(
    "worse",
    [
        {"name": "a", "enabled": False, "priority": 9},
        {"name": "a", "used": 1, "priority": 9},
        {"name": "a", "silent_since": NOON, "priority": 9},
        {"name": "a", "priority": -1},
        {"name": "c"},
    ],
)
def test_the_best_site_accepts_work_starts_it_now_answers_and_has_priority(worse: dict[str, Any], db: None) -> None:
    assert rank(Demand(), [situation(**worse), situation("b")])[0].site.name == "b"


@pytest.mark.parametrize(
    ("model", "names"), [(Tenant, routes._TENANT), (Site, routes._SITE), (Allocation, routes._ALLOCATION)]
)
def test_a_routes_columns_stand_in_the_order_of_their_model(model: type[Model], names: tuple[str, ...]) -> None:
    """`Model.from_db` takes its values in that order, whatever the names beside them say."""
    assert [field.attname for field in model._meta.concrete_fields if field.attname in names] == list(names)


def test_a_site_that_can_never_run_it_comes_last(db: None) -> None:
    drained = situation("drained", enabled=False)
    answers = rank(Demand(flavor="huge"), [drained, situation("a")])
    assert [answer.outcome for answer in answers] == ["fits", "waits"]
    drained.allocation = None
    answers = rank(Demand(cpus_per_task=2), [situation("a", priority=9), drained])
    assert answers[0].site.name == "a"


#: Values that people set, some of which influence each other.
CPUS = st.sampled_from([None, 1, 4, 64])
LIMITS = st.fixed_dictionaries(
    {
        "pods": st.sampled_from([None, 0, 1]),
        "cpus": CPUS,
        "memory": st.sampled_from([None, GIB, 64 * GIB]),
        "cpu_hours": st.sampled_from([None, 1, 100]),
        "default_time_limit": st.sampled_from([60, HOUR]),
        "partitions": st.sampled_from([[], ["quick"], ["long", "quick"]]),
        "flavors": st.sampled_from([[], ["big"], ["other"]]),
        "qos": st.sampled_from(["", "high"]),
    }
)
FLAVORS = st.fixed_dictionaries(
    {
        "partition": st.sampled_from(["", "quick"]),
        "cpus": CPUS,
        "memory": st.sampled_from([None, 2 * GIB]),
        "time_limit": st.sampled_from([None, 120]),
        "largest_cpus": st.sampled_from([None, 8]),
    }
)
PODS = st.fixed_dictionaries(
    {
        "cpu": st.sampled_from(["", "1", "3"]),
        "memory": st.sampled_from(["", "1Gi"]),
        "flags": st.sampled_from(
            ["", "--ntasks=16 --cpus-per-task=8", "--nodes=2", "-p long", "--time=30", "--gres=gpu:a100:2"]
        ),
        "flavor": st.sampled_from(["", "big", "none"]),
    }
)
CONFIGS = st.sampled_from([{}, {"default_partition": "quick"}])
SETTING = (LIMITS, FLAVORS, PODS, CONFIGS)


def pod_of(asked: dict[str, str]) -> dict[str, Any]:
    wanted = {name: asked[name] for name in ("cpu", "memory") if asked[name]}
    pod = make_pod(annotations={"slurm-job.vk.io/flags": asked["flags"], "slurm-job.vk.io/flavor": asked["flavor"]})
    pod["spec"]["containers"][0]["resources"] = {"limits": wanted}
    return pod


def site_of(limits: dict[str, Any], flavor: dict[str, Any], config: dict[str, str], name: str) -> tuple[Site, Tenant]:
    site = make_site(slug=name, name=name.capitalize(), config={"name": name, **config})
    for partition, seconds in (("quick", 600), ("long", None)):
        figures = {"nodes": 4, "cpus": 512, "memory": 2**40, "seen_at": NOON}
        site.partitions.create(name=partition, time_limit=seconds, default=partition == "long", **figures)
    Flavor.objects.create(site=site, name="big", **flavor)
    tenant = make_tenant(name="Alpha")
    make_allocation(tenant, site, **limits)
    return site, tenant


def submit(tenant: Tenant, pod: dict[str, Any], now: datetime) -> Job | str:
    """Return the job, or the sentence of its refusal."""
    person = make_person()
    caller = PersonCaller(person.pk, person.name)
    try:
        return admission.submit_pod(caller, {"pod": pod}, tenant_id=tenant.pk, now=now)
    except Refused as refusal:
        return refusal.message


@pytest.mark.django_db
@given(*SETTING)
def test_explain_and_submit_agree(
    limits: dict[str, Any], flavor: dict[str, Any], asked: dict[str, str], config: dict[str, str]
) -> None:
    site, tenant = site_of(limits, flavor, config, f"site-{Site.objects.count()}")
    pod, now = pod_of(asked), timezone.now()
    [told] = explain({"pod": pod}, tenant_id=tenant.pk, now=now)
    job = submit(tenant, pod, now)
    if isinstance(job, str):
        assert (told.verdict, told.message) == ("refused", job)
        return
    assert (told.reason, told.message) == (job.reason, job.message)
    start_now(site)
    job.refresh_from_db()
    assert told.verdict == ("fits" if job.state == State.QUEUED else "waits")
    if job.state == State.QUEUED:
        shown = (job.cpus, job.memory, job.gpus, job.gpu_kind, job.partition, job.time_limit)
        assert shown == (told.cpus, told.memory, told.gpus, told.gpu_kind, told.partition, told.time_limit)
        assert job.reserved_cpu_seconds == told.cpu_hours * HOUR  # type: ignore[operator]  # a fitting pod has figures


@pytest.mark.django_db
@given(*SETTING, LIMITS, FLAVORS, CONFIGS, st.booleans())
def test_a_started_jobs_demand_is_counted_shown_and_submitted_whatever_is_edited(
    limits: dict[str, Any],
    flavor: dict[str, Any],
    asked: dict[str, str],
    config: dict[str, str],
    new_limits: dict[str, Any],
    new_flavor: dict[str, Any],
    new_config: dict[str, str],
    is_removed: bool,  # noqa: FBT001  (drawn)
) -> None:
    name = f"site-{Site.objects.count()}"
    site, tenant = site_of(limits, flavor, config, name)
    job = submit(tenant, pod_of(asked), timezone.now())
    if isinstance(job, str):
        return
    start_now(site)
    job.refresh_from_db()
    if job.state != State.QUEUED:
        return
    assert job.demand is not None
    granted = Demand.from_json(job.demand)
    Allocation.objects.filter(tenant=tenant).update(**new_limits)
    Flavor.objects.filter(site=site).update(**new_flavor)
    if is_removed:
        Flavor.objects.all().delete()
        Partition.objects.all().delete()
    Site.objects.filter(pk=site.pk).update(config={"name": name, **new_config})

    submit_now(site)
    job.refresh_from_db()
    assert job.state == State.PENDING
    memory: MemorySite = memory_site(name)
    assert memory.job(job.attempt_key).workload.demand == granted
    assert (job.cpus, job.memory, job.partition, job.time_limit) == (
        granted.cpus, granted.memory, granted.partition, granted.time_limit,
    )  # fmt: skip
    assert held_by(job)["cpus"] == granted.cpus
    assert job.reserved_cpu_seconds == granted.cpus * (granted.time_limit or 0)

    memory.start(job.attempt_key)
    memory.finish(job.attempt_key)
    Site.objects.filter(pk=site.pk).update(next_poll_at=NOON)
    poll_due(Site.objects.get(pk=site.pk))
    usage = UsageRecord.objects.get(job=job)
    assert (usage.cpus, usage.nodes, usage.memory, usage.partition, usage.qos) == (
        granted.cpus, granted.nodes, granted.memory, granted.partition, granted.qos,
    )  # fmt: skip
    assert job.person is not None
    assert (usage.owner_issuer, usage.owner_subject) == (job.person.issuer, job.person.subject)
