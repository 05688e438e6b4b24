"""Pods without a cluster, what is refused at once, and what `explain` answers for both."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from controlplane.audit.models import Event
from controlplane.auth.callers import PersonCaller, ServiceCaller
from controlplane.errors import BadRequest, Refused
from controlplane.tenants.models import Person, ServiceAccount, Tenant
from jobs import admission
from jobs.models import Job
from jobs.placement.explain import SiteVerdict, explain, why_waits
from jobs.states import State
from jobs.sweeps import held
from sites.models import Allocation, Flavor, Route, Site
from tests.api import role_of
from tests.database_roles import database_role
from tests.factories import make_allocation, make_job, make_node, make_pod, make_request, make_site, make_tenant
from tests.jobs.clock import start_now, submit_now
from tests.wire import call

if TYPE_CHECKING:
    from sites.connectors.memory.site import MemorySite
    from sites.workload import Workload

pytestmark = pytest.mark.django_db
GIB = 2**30


@pytest.fixture
def alice(vega: Site) -> PersonCaller:
    return PersonCaller(Person.objects.create(username="alice").pk, "Alice")


@pytest.fixture
def tenant(vega: Site) -> Tenant:
    tenant = make_tenant(slug="alpha", name="Alpha")
    make_allocation(tenant, vega)
    return tenant


def pod_of(**limits: str) -> dict[str, Any]:
    pod = make_pod()
    pod["metadata"] = {"name": "hello"}
    pod["spec"]["containers"][0]["resources"] = {"limits": limits}
    return pod


def submit(caller: PersonCaller | ServiceCaller, tenant: Tenant, pod: dict[str, Any], site: str | None = None) -> Job:
    return admission.submit_pod(caller, {"pod": pod}, tenant_id=tenant.pk, site_slug=site, now=timezone.now())


def explained(tenant: Tenant, pod: dict[str, Any], site: str | None = None) -> list[SiteVerdict]:
    return explain({"pod": pod}, tenant_id=tenant.pk, site_slug=site, now=timezone.now())


def test_a_pod_without_a_cluster_runs_to_its_end(
    vega: Site, memory: MemorySite, alice: PersonCaller, tenant: Tenant
) -> None:
    job = submit(alice, tenant, pod_of(cpu="2"))
    assert (job.node_id, job.person_id, job.pod_namespace, job.cpus) == (None, alice.person_id, "alpha", 2)
    assert job.state == State.HELD
    submit_now(vega)
    job.refresh_from_db()
    assert job.state == State.PENDING
    assert job.is_counted
    assert Event.objects.filter(verb="job.submit", object_id=job.key, tenant_id=tenant.pk).exists()


def test_a_service_account_submits_as_itself(tenant: Tenant) -> None:
    service = ServiceAccount.objects.create(tenant=tenant, slug="robot")
    job = submit(ServiceCaller(tenant.pk, "robot", service_id=service.pk), tenant, pod_of())
    assert (job.service_id, job.person_id) == (service.pk, None)


def test_a_name_is_generated_if_the_pod_asks_for_one(alice: PersonCaller, tenant: Tenant) -> None:
    pod = pod_of()
    pod["metadata"] = {"generateName": "train-", "namespace": "ml", "uid": str(uuid.uuid4())}
    job = submit(alice, tenant, pod)
    assert job.pod_name.startswith("train-")
    assert len(job.pod_name) == len("train-") + 5
    assert (job.pod_namespace, str(job.pod_uid)) == ("ml", pod["metadata"]["uid"])


@pytest.mark.parametrize("pod", [None, [], {"kind": "Deployment"}, {"metadata": {}, "spec": {}}])
def test_a_body_that_is_not_a_pod_is_a_bad_request(alice: PersonCaller, tenant: Tenant, pod: Any) -> None:
    with pytest.raises(BadRequest):
        submit(alice, tenant, pod)


def test_without_an_allocation_a_submission_is_refused(vega: Site, alice: PersonCaller, tenant: Tenant) -> None:
    make_site(slug="leonardo")
    with pytest.raises(Refused, match="no allocation at leonardo"):
        submit(alice, tenant, pod_of(), "leonardo")
    Allocation.objects.all().delete()
    with pytest.raises(Refused, match="no allocation at any site"):
        submit(alice, tenant, pod_of())


def test_a_site_where_the_pod_fits_now_is_preferred(vega: Site, alice: PersonCaller, tenant: Tenant) -> None:
    leonardo = make_site(slug="leonardo", name="Leonardo")
    make_allocation(tenant, leonardo, priority=9, pods=1, used_pods=1)
    assert submit(alice, tenant, pod_of()).site == vega
    make_allocation(tenant, leonardo, used_pods=0)
    assert submit(alice, tenant, pod_of()).site == leonardo
    assert submit(alice, tenant, pod_of(), "vega").site == vega


def test_a_pod_that_fits_nowhere_is_refused_with_every_sites_reason(
    vega: Site, alice: PersonCaller, tenant: Tenant
) -> None:
    make_allocation(tenant, vega, cpus=4)
    make_allocation(tenant, make_site(name="Leonardo"), cpu_hours=1)
    with pytest.raises(Refused) as refusal:
        submit(alice, tenant, pod_of(cpu="8"))
    assert "may use no more than 4 CPUs at once at Vega" in refusal.value.message
    assert "no more than 1 CPU-hours for each period at Leonardo" in refusal.value.message
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    ("limits", "flags", "words"),
    [
        ({"cpus": 100}, "--ntasks=16 --cpus-per-task=8", "128 CPUs"),
        ({"memory": 8 * GIB}, "--nodes=4 --mem=3G", "12 GiB of memory"),
        ({"gpus": {"a100": 4}}, "--gres=gpu:a100:5", "5 a100 GPUs"),
        ({"gpus": {"": 4}}, "--gres=gpu:5", "5 GPUs"),
        ({"cpu_hours": 10}, "--time=11:00:00", "11 CPU-hours"),
        ({"gpu_hours": 1, "default_time_limit": 7200}, "--gres=gpu:1", "2 GPU-hours"),
        ({"partitions": ["batch"]}, "-p gpu", "may not use the partition gpu"),
        ({"pods": 0}, "", "1 pod"),
    ],
)
def test_a_create_that_could_never_fit_is_refused_on_the_wire(
    vega: Site, limits: dict[str, Any], flags: str, words: str
) -> None:
    node, token = make_node(site=vega)
    make_allocation(node.tenant, vega, **limits)
    pod = make_pod(annotations={"slurm-job.vk.io/flags": flags})
    answer = call("POST", "/create", make_request(pod), token=token)
    assert answer.status == 422
    assert words in answer.text
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"enabled": False},
        {"valid_from": timezone.now() - timedelta(days=2), "valid_until": timezone.now() - timedelta(days=1)},
        {"valid_from": timezone.now() + timedelta(days=1)},
        None,
    ],
)
def test_a_closed_allocation_does_not_refuse_a_create(vega: Site, fields: dict[str, Any] | None) -> None:
    node, token = make_node(site=vega)
    if fields is None:
        Allocation.objects.all().delete()
    else:
        make_allocation(node.tenant, vega, **fields)
    assert call("POST", "/create", make_request(), token=token).status == 200
    start_now(vega)
    job = Job.objects.get()
    assert (job.state, bool(job.message)) == (State.HELD, True)


def test_creates_and_deletes_on_the_wire_are_in_the_audit_trail(vega: Site, database_urls: dict[str, str]) -> None:
    node, token = make_node(site=vega)
    pod, unknown = make_pod(), make_pod()
    with database_role(role_of(database_urls["web"])):
        for created in (pod, pod):
            assert call("POST", "/create", make_request(created), token=token).status == 200
        for deleted in (pod, pod, unknown, unknown):
            assert call("DELETE", "/delete", deleted, token=token).status == 200
    job, theirs = Job.objects.get(), ("node", node.slug, node.tenant_id)
    events = Event.objects.filter(tenant_id=node.tenant_id, actor_kind="node").order_by("id")
    assert list(events.values_list("verb", "object_id", "actor_kind", "actor", "tenant_id")) == [
        ("job.create", job.key, *theirs),
        ("job.delete", job.key, *theirs),
        ("pod.delete", unknown["metadata"]["uid"], *theirs),
    ]


def test_a_flavor_is_resolved_at_the_site_of_the_pod(vega: Site, memory: MemorySite) -> None:
    node, token = make_node(site=vega)
    make_allocation(node.tenant, vega, qos="high", local_account="alpha")
    Flavor.objects.create(site=vega, name="gpu", partition="boost", cpus=8, memory=GIB, gpus=2, time_limit=600)
    pod = make_pod(annotations={"slurm-job.vk.io/flavor": "gpu"})
    call("POST", "/create", make_request(pod), token=token)
    submit_now(vega)
    job = Job.objects.get()
    assert (job.cpus, job.memory, job.gpus, job.time_limit, job.partition) == (8, GIB, 2, 600, "boost")
    workload: Workload = memory.job(job.attempt_key).workload
    demand = workload.demand
    assert (demand.cpus, demand.partition, demand.time_limit, demand.qos) == (8, "boost", 600, "high")
    assert workload.account == "alpha"


def test_an_unknown_flavor_is_refused_on_the_wire(vega: Site) -> None:
    _, token = make_node(site=vega)
    pod = make_pod(annotations={"slurm-job.vk.io/flavor": "moon"})
    answer = call("POST", "/create", make_request(pod), token=token)
    assert (answer.status, "no flavor moon" in answer.text) == (422, True)


def test_a_flavored_pod_without_a_site_gets_its_figures_when_it_gets_one(vega: Site) -> None:
    node, token = make_node(routed=False)
    flavored = [make_pod(annotations={"slurm-job.vk.io/flavor": name}) for name in ("gpu", "moon")]
    for pod in flavored:
        call("POST", "/create", make_request(pod), token=token)
    Flavor.objects.create(site=vega, name="gpu", cpus=8)
    make_allocation(node.tenant, vega)
    Route.objects.create(node=node, site=vega)
    held.place_held(now=timezone.now())
    start_now(vega)
    good, bad = Job.objects.order_by("pk")
    assert (good.state, good.cpus) == (State.QUEUED, 8)
    assert (bad.state, bad.reason) == (State.FAILED, "InvalidPod")


def test_the_first_allowed_partition_is_the_default(vega: Site, memory: MemorySite) -> None:
    node, token = make_node(site=vega)
    make_allocation(node.tenant, vega, partitions=["batch", "gpu"], default_time_limit=1800)
    call("POST", "/create", make_request(), token=token)
    submit_now(vega)
    demand = memory.job(Job.objects.get().attempt_key).workload.demand
    assert (demand.partition, demand.time_limit) == ("batch", 1800)


def test_explain_distinguishes_fits_waits_and_refused(vega: Site, tenant: Tenant) -> None:
    make_allocation(tenant, vega, partitions=["batch"], default_time_limit=7200)
    make_allocation(tenant, make_site(slug="full", name="Full"), cpus=4, used_cpus=3)
    make_allocation(tenant, make_site(slug="small", name="Small"), cpus=1)
    now = timezone.now()
    make_allocation(tenant, make_site(slug="silent", name="Silent", silent_since=now, next_probe_at=now))
    with CaptureQueriesContext(connection) as queries:
        found = {each.site: each for each in explained(tenant, pod_of(cpu="2", **{"nvidia.com/gpu": "1"}))}
    assert not any(each["sql"].startswith(("INSERT", "UPDATE", "DELETE")) for each in queries)
    assert {slug: each.verdict for slug, each in found.items()} == {
        "vega": "fits", "full": "waits", "small": "refused", "silent": "waits",
    }  # fmt: skip
    vega_says, full = found["vega"], found["full"]
    assert (vega_says.partition, vega_says.time_limit, vega_says.cpu_hours, vega_says.gpu_hours) == (
        "batch",
        7200,
        4,
        2,
    )
    assert (full.reason, full.limit, full.used, full.asked, full.allowed) == ("QuotaExceeded", "cpus", 3, 2, 4)
    assert found["silent"].reason == "SiteSilent"
    assert "may use no more than 1 CPU" in found["small"].message


def test_explain_and_submission_agree_on_a_pod_without_a_time_limit(vega: Site, tenant: Tenant) -> None:
    """Four CPUs for the allocation's default hour exceed the budget; for the partition's ten minutes they do not."""
    Allocation.objects.filter(tenant=tenant).update(cpu_hours=1)
    told = {"nodes": 1, "cpus": 8, "memory": GIB, "default": True, "seen_at": timezone.now()}
    vega.partitions.create(name="quick", time_limit=600, **told)
    [verdict] = explained(tenant, pod_of(cpu="4"))
    assert (verdict.verdict, verdict.time_limit) == ("fits", 600)
    node, token = make_node(tenant=tenant, routed=False)
    Route.objects.create(node=node, site=vega)
    pod = make_pod()
    pod["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "4"}}
    assert call("POST", "/create", make_request(pod), token=token).status == 200
    start_now(vega)
    job = Job.objects.get(node=node)
    assert (job.state, job.time_limit, job.reserved_cpu_seconds) == (State.QUEUED, 600, 2400)


def test_explain_and_submit_agree(vega: Site, alice: PersonCaller, tenant: Tenant) -> None:
    make_allocation(tenant, vega, cpus=1)
    [verdict] = explained(tenant, pod_of(cpu="2"))
    with pytest.raises(Refused) as refusal:
        submit(alice, tenant, pod_of(cpu="2"))
    assert verdict.message == refusal.value.message


def test_the_reason_of_a_held_job_is_computed_live(vega: Site, alice: PersonCaller, tenant: Tenant) -> None:
    make_allocation(tenant, vega, pods=1)
    first, second = submit(alice, tenant, pod_of()), submit(alice, tenant, pod_of())
    start_now(vega)
    first.refresh_from_db()
    second.refresh_from_db()
    assert why_waits(first, now=timezone.now()) is None
    waits = why_waits(second, now=timezone.now())
    assert waits is not None
    assert waits.reason == "QuotaExceeded"
    Site.objects.update(enabled=False)
    second = Job.objects.get(pk=second.pk)
    waits = why_waits(second, now=timezone.now())
    assert waits is not None
    assert waits.reason == "SiteDraining"


def test_a_submitted_pod_keeps_its_site_while_the_site_is_drained(
    vega: Site, alice: PersonCaller, tenant: Tenant
) -> None:
    queued, later = submit(alice, tenant, pod_of()), None
    start_now(vega)
    Site.objects.update(enabled=False)
    held.hold_drained(now=timezone.now())
    later = submit(alice, tenant, pod_of())
    held.hold_drained(now=timezone.now())
    for job in (queued, later):
        job.refresh_from_db()
        assert (job.state, job.site_id, job.reason, job.is_counted) == (State.HELD, vega.pk, "SiteDraining", False)
    held.settle_held(now=timezone.now())
    Site.objects.update(enabled=True)
    start_now(Site.objects.get())
    assert set(Job.objects.values_list("state", flat=True)) == {State.QUEUED}


def test_higher_priorities_are_submitted_first(vega: Site, memory: MemorySite, settings: Any) -> None:
    settings.BATCH_JOBS = 1
    low, high = make_node(site=vega)[0], make_node(site=vega)[0]
    jobs = [make_job(node=low), make_job(node=low), make_job(node=high, priority=5)]
    submit_now(vega)
    submitted = memory.keys()
    assert Job.objects.get(attempt_key=submitted[0]) == jobs[2]
