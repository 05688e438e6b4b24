"""POST /jobs and /jobs/explain: a pod without a cluster, from its manifest to its batch job."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.audit.models import Event
from controlplane.tenants.models import Membership
from jobs import payload, tasks
from jobs.models import Job, UsageRecord
from jobs.states import State
from sites.connectors.memory.site import memory_site
from sites.models import Site
from tests.factories import make_allocation, make_service
from tests.federation import Caller

if TYPE_CHECKING:
    from sites.models import Allocation
    from tests.federation import Federation
    from tests.wire import Answer

YAML = b"""
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {LEVEL: "7"}
---
apiVersion: v1
kind: Secret
metadata: {name: login}
data: {password: aHVzaA==}
---
apiVersion: v1
kind: Pod
metadata:
  generateName: train-
spec:
  activeDeadlineSeconds: 600
  containers:
  - name: main
    image: busybox:1.36
    command: [sh, -c, "echo $LEVEL"]
    envFrom:
    - configMapRef: {name: settings}
    env:
    - name: PASSWORD
      valueFrom: {secretKeyRef: {name: login, key: password}}
    volumeMounts:
    - {name: login, mountPath: /login}
    resources: {limits: {cpu: "2"}}
  volumes:
  - name: login
    secret: {secretName: login}
"""


#: Nested deeper than the API writes JSON, but not deeper than it reads it.
DEEP: Any = json.loads("[" * 300 + "]" * 300)


def a_pod(**spec: Any) -> dict[str, Any]:
    main = {"name": "main", "image": "busybox:1.36", "command": ["true"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "train"},
        "spec": {"containers": [{**main, **spec}]},
    }


def asking_for(**limits: Any) -> dict[str, Any]:
    return a_pod(resources={"limits": limits})


@pytest.fixture
def allocation(federation: Federation) -> Allocation:
    """The allocation of climate at Vega."""
    return make_allocation(federation.climate, federation.vega)


def submitted(answer: Answer) -> Job:
    assert answer.status == 201, answer.text
    return Job.objects.get(key=answer.json["key"])


def start(site: Site) -> None:
    """Run a worker once: it starts held jobs and submits due ones."""
    tasks.submit(site.pk)


@pytest.mark.usefixtures("allocation")
def test_a_pod_in_yaml_becomes_a_batch_job_with_its_config_maps_and_secrets(federation: Federation) -> None:
    answer = federation.adam.send("jobs", YAML, "application/yaml")
    job = submitted(answer)
    assert answer.headers["location"] == f"/api/v1/jobs/{job.key}"
    assert (answer.json["namespace"], answer.json["cpus"], answer.json["time_limit"]) == ("climate", 2, 600)
    assert answer.json["name"].startswith("train-")
    assert answer.json["submitted_by"] == {"kind": "person", "name": "Adam"}
    assert (job.person, job.node, job.tenant, job.site) == (
        federation.adam.person, None, federation.climate, federation.vega,
    )  # fmt: skip
    start(federation.vega)
    job.refresh_from_db()
    workload = memory_site("vega").job(job.attempt_key).workload
    assert dict(workload.containers[0].env) == {"LEVEL": "7", "PASSWORD": "hush"}
    [volume] = workload.volumes
    assert [(file.path, file.content) for file in volume.files] == [("password", b"hush")]


@pytest.mark.usefixtures("allocation")
def test_a_json_list_is_accepted_too_and_secrets_stay_hidden(federation: Federation) -> None:
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "login"},
        "data": {"a": base64.b64encode(b"hush").decode()},
    }
    pod = a_pod(env=[{"name": "A", "valueFrom": {"secretKeyRef": {"name": "login", "key": "a"}}}])
    job = submitted(federation.alice.post("jobs", {"kind": "List", "apiVersion": "v1", "items": [secret, pod]}))
    assert payload.read_request(job)["pod"]["spec"]["containers"][0]["env"] == [{"name": "A", "value": "hush"}]
    assert "hush" not in federation.alice.get(f"jobs/{job.key}").text
    event = Event.objects.get(verb="job.submit", tenant_id=federation.climate.pk)
    assert (event.actor, event.changes["pod"]) == ("Alice", "climate/train")
    assert "hush" not in json.dumps(event.changes)


@pytest.mark.usefixtures("allocation")
def test_a_program_submits_as_itself(federation: Federation) -> None:
    program = Caller(make_service(tenant=federation.climate, slug="nightly"), federation.alice.api)
    answer = program.post("jobs", a_pod())
    assert answer.json["submitted_by"] == {"kind": "service", "name": "nightly"}


@pytest.mark.usefixtures("allocation")
@pytest.mark.parametrize(
    ("body", "content_type", "status", "said"),
    [
        (b"{", "application/json", 400, "The body is not JSON"),
        (b"", "application/json", 400, "kind: Pod"),
        (b"a: [", "application/yaml", 400, "The body is not YAML"),
        (b"a: &x [1]\nb: [*x, *x]", "application/yaml", 400, "Anchors and aliases"),
        (b"a: !!python/object/apply:os.system [ls]", "text/yaml", 400, "Tags such as"),
        (b"kind: Deployment\napiVersion: apps/v1", "application/yaml", 422, "is a Deployment of apps/v1"),
        (json.dumps({"kind": "List", "items": [a_pod(), a_pod()]}).encode(), "application/json", 400, "2 objects"),
        (json.dumps(a_pod(image="")).encode(), "application/json", 400, "containers[0].image"),
        (json.dumps(a_pod(command="true")).encode(), "application/json", 400, "containers[0].command must be a list"),
        (json.dumps(asking_for(cpu="many")).encode(), "application/json", 400, "cpu is not a quantity"),
        (
            json.dumps(a_pod(envFrom=[{"configMapRef": {"name": "gone"}}])).encode(),
            "application/json", 422, "needs the ConfigMap gone",
        ),
        (json.dumps({**a_pod(), "status": DEEP}).encode(), "application/json", 400, "nested deeper"),
        (b"[" * 2000 + b"]" * 2000, "application/json", 400, "The body is not JSON"),
        (b"<pod/>", "application/xml", 415, "application/xml"),
    ],
)  # fmt: skip
def test_an_unacceptable_manifest_is_refused_with_the_reason(
    federation: Federation, body: bytes, content_type: str, status: int, said: str
) -> None:
    answer = federation.adam.send("jobs", body, content_type)
    assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
    assert said in answer.json["detail"]
    assert not Job.objects.exists()


@pytest.mark.usefixtures("allocation")
def test_a_body_over_the_limit_is_not_read(federation: Federation, settings: Any) -> None:
    settings.INTERLINK_MAX_BODY = 1000
    answer = federation.adam.send("jobs", b" " * 1001, "application/json")
    assert (answer.status, answer.json["code"]) == (413, "too_large")
    settings.INTERLINK_MAX_BODY = settings.API_MAX_BODY * 3
    large = json.dumps({**a_pod(), "status": "x" * (settings.API_MAX_BODY + 1)}).encode()
    assert federation.adam.send("jobs", large, "application/json").status == 201


@pytest.mark.usefixtures("allocation")
def test_the_same_key_submits_once(federation: Federation) -> None:
    first = federation.adam.post("jobs", a_pod(), **{"Idempotency-Key": "one"})
    again = federation.adam.post("jobs", a_pod(), **{"Idempotency-Key": "one"})
    assert (again.status, again.json["key"]) == (201, first.json["key"])
    assert again.headers["location"] == first.headers["location"]
    assert Job.objects.count() == 1
    deep = federation.adam.post("jobs", {**a_pod(), "status": DEEP}, **{"Idempotency-Key": "deep"})
    assert deep.status == 400
    other = federation.adam.post("jobs?site=vega", a_pod(), **{"Idempotency-Key": "one"})
    assert (other.status, other.json["code"]) == (422, "idempotency_key_reused")


@pytest.mark.usefixtures("allocation")
def test_tenant_and_site_are_chosen_by_parameter_or_default(federation: Federation) -> None:
    adam = federation.adam
    assert adam.post("jobs?tenant=climate&site=vega", a_pod()).status == 201
    assert adam.post("jobs?tenant=physics", a_pod()).status == 404
    assert adam.post("jobs?tenant=nobody", a_pod()).status == 404
    assert adam.post("jobs?site=juno", a_pod()).status == 422
    for caller in (federation.olga, federation.ada, federation.vera, federation.nora):
        assert caller.post("jobs?tenant=climate", a_pod()).status == 403
    Membership.objects.create(person=adam.person, tenant=federation.physics, role="member", origin="manual")
    answer = adam.post("jobs", a_pod())
    assert (answer.status, answer.json["errors"][0]["field"]) == (400, "tenant")
    assert "climate, physics" in answer.json["errors"][0]["detail"]


def test_a_tenant_without_any_allocation_is_refused_with_that_reason(federation: Federation) -> None:
    answer = federation.adam.post("jobs", a_pod())
    assert answer.status == 422
    assert "allocation" in answer.json["detail"]


def test_a_pod_that_does_not_fit_now_waits_with_the_reason(federation: Federation) -> None:
    make_allocation(federation.climate, federation.vega, pods=1)
    first = submitted(federation.adam.post("jobs", a_pod()))
    start(federation.vega)
    second = submitted(federation.adam.post("jobs", a_pod()))
    start(federation.vega)
    first.refresh_from_db()
    assert first.state == State.PENDING
    told = federation.adam.get(f"jobs/{second.key}").json
    assert (told["state"], told["reason"]) == ("held", "QuotaExceeded")
    assert "Climate uses 1 of 1 pod at Vega" in told["waits"]


@pytest.mark.usefixtures("allocation")
def test_a_removed_person_submits_nothing_new_and_running_jobs_continue(federation: Federation) -> None:
    job = submitted(federation.adam.post("jobs", a_pod()))
    start(federation.vega)
    Membership.objects.filter(person=federation.adam.person).delete()
    assert federation.adam.post("jobs?tenant=climate", a_pod()).status == 403
    assert federation.adam.get(f"jobs/{job.key}").status == 403
    memory = memory_site("vega")
    job.refresh_from_db()
    memory.start(job.attempt_key)
    memory.finish(job.attempt_key)
    tasks.poll(federation.vega.pk)
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED
    assert UsageRecord.objects.get(job=job).person == federation.adam.person


def explained(federation: Federation, pod: dict[str, Any], query: str = "") -> dict[str, dict[str, Any]]:
    answer = federation.adam.post(f"jobs/explain{query}", pod)
    assert answer.status == 200, answer.text
    assert answer.json["tenant"] == "climate"
    assert not Job.objects.filter(person=federation.adam.person).exists()
    return {verdict["site"]: verdict for verdict in answer.json["sites"]}


def test_a_pod_is_explained_for_each_site_and_not_submitted(federation: Federation) -> None:
    make_allocation(federation.climate, federation.vega, cpus=4, cpu_hours=100, default_time_limit=7200)
    make_allocation(federation.climate, federation.juno, cpus=1)
    verdicts = explained(federation, asking_for(cpu="2"))
    vega, juno = verdicts["vega"], verdicts["juno"]
    assert (vega["verdict"], vega["cpus"], vega["time_limit"], vega["cpu_hours"]) == ("fits", 2, 7200, 4.0)
    assert (juno["verdict"], juno["limit"], juno["asked"], juno["allowed"]) == ("refused", "cpus", 2, 1)
    assert "Climate may use no more than 1 CPU" in juno["message"]
    assert list(explained(federation, asking_for(cpu="2"), "?site=juno")) == ["juno"]


def test_a_pod_for_a_draining_site_waits(federation: Federation) -> None:
    make_allocation(federation.climate, federation.vega)
    Site.objects.filter(slug="vega").update(enabled=False)
    assert explained(federation, a_pod())["vega"]["verdict"] == "waits"


def test_without_an_allocation_nothing_can_be_explained(federation: Federation) -> None:
    assert explained(federation, a_pod()) == {}
    assert federation.bob.post("jobs/explain?tenant=climate", a_pod()).status == 404
    assert federation.olga.post("jobs/explain?tenant=climate", a_pod()).status == 403
