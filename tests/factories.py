"""Rows for tests, made by plain functions. Each creates what it needs; a test passes only what it wants different."""

from __future__ import annotations

import itertools
import uuid
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from controlplane.auth.tokens import issue
from controlplane.tenants.models import Person, ServiceAccount, Tenant, VirtualNode
from jobs import lifecycle, payload
from jobs.accounting.counters import Ledger
from jobs.lifecycle import demand_columns
from jobs.models import Job, new_key
from jobs.states import AT_SITE, ENDS, State
from sites.models import Allocation, Route, Site
from sites.workload import Demand

_numbers = itertools.count(1)


def make_tenant(**fields: Any) -> Tenant:
    number = next(_numbers)
    return Tenant.objects.create(**{"slug": f"tenant-{number}", "name": f"Tenant {number}", **fields})


def make_person(**fields: Any) -> Person:
    """Return a person who has logged in with a home identity."""
    number = next(_numbers)
    return Person.objects.create(
        **{
            "username": f"person-{number}",
            "name": f"Person {number}",
            "issuer": "https://issuer.example.org",
            "subject": f"subject-{number}",
            **fields,
        }
    )


def make_service(**fields: Any) -> ServiceAccount:
    fields.setdefault("tenant", None)
    fields["tenant"] = fields["tenant"] or make_tenant()
    return ServiceAccount.objects.create(**{"slug": f"service-{next(_numbers)}", **fields})


def make_site(**fields: Any) -> Site:
    """Return an in-memory site, or one of another `kind`. Tenants share its account."""
    number = next(_numbers)
    return Site.objects.create(
        **{
            "slug": f"site-{number}",
            "name": f"Site {number}",
            "kind": "memory",
            "shared_account": True,
            **fields,
        }
    )


def make_allocation(tenant: Tenant, site: Site, **limits: Any) -> Allocation:
    """Return the tenant's allocation at the site with exactly these limits. Changes an existing allocation."""
    return Allocation.objects.update_or_create(tenant=tenant, site=site, defaults=limits)[0]


def make_node(*, site: Site | None = None, routed: bool = True, **fields: Any) -> tuple[VirtualNode, str]:
    """Return a virtual node and its token, with a route (to a new site unless one is given) and an allocation there."""
    fields.setdefault("tenant", None)
    fields["tenant"] = fields["tenant"] or make_tenant()
    node = VirtualNode.objects.create(**{"slug": f"node-{next(_numbers)}", **fields})
    if routed:
        route = Route.objects.create(node=node, site=site or make_site())
        make_allocation(node.tenant, route.site)
    return node, issue.mint(node)[1]


def make_pod(**metadata: Any) -> dict[str, Any]:
    """Return a v1.Pod as a kubelet sends it: one container `main` that prints hello. Tests may change it."""
    return {
        "metadata": {"name": "hello", "namespace": "research", "uid": str(uuid.uuid4()), **metadata},
        "spec": {
            "containers": [{"name": "main", "image": "busybox:1.36", "command": ["echo", "hello"], "resources": {}}],
            "restartPolicy": "Never",
        },
        "status": {"phase": "Pending"},
    }


def make_request(pod: dict[str, Any] | None = None, **parts: Any) -> dict[str, Any]:
    """Return the body of /create."""
    return {
        "pod": pod or make_pod(),
        "configmaps": None,
        "secrets": None,
        "projectedvolumesmaps": None,
        "jobscriptURL": "",
        **parts,
    }


def make_job(
    *,
    state: State = State.QUEUED,
    node: VirtualNode | None = None,
    site: Site | None = None,
    request: dict[str, Any] | None = None,
    **fields: Any,
) -> Job:
    """Return a job in any state, with all columns that the state needs: a site, an attempt, times.

    It bypasses the table of moves. The tenant's allocation counts it from `queued` to its end, like a started job.
    """
    node = node or make_node(site=site)[0]
    site = site or Route.objects.get(node=node).site
    body = request or make_request()
    key = new_key()
    pod = body["pod"]
    job = Job(
        **{
            "tenant_id": node.tenant_id,
            "node": node,
            "site": site,
            "key": key,
            "pod_uid": uuid.UUID(pod["metadata"]["uid"]),
            "pod_name": pod["metadata"]["name"],
            "pod_namespace": pod["metadata"]["namespace"],
            "containers": containers(pod),
            "request": None if state in ENDS else payload.seal_request(body, tenant_id=node.tenant_id, key=key),
            "state": state,
            **_demanded_by(state),
            **demand_columns(_demand(state, fields)),
            **({"allocation": make_allocation(node.tenant, site)} if state is not State.HELD else {}),
            **fields,
        }
    )
    job.is_counted = state is not State.HELD and state not in ENDS and job.allocation is not None
    lifecycle.create(job)
    if job.is_counted:
        _count(job)
    return job


def _demand(state: State, fields: dict[str, Any]) -> Demand:
    """Return a demand of one task on one node, with the totals that a test passes."""
    gpus = {fields.get("gpu_kind", ""): fields["gpus"]} if fields.get("gpus") else {}
    named = {name: fields[name] for name in ("time_limit", "partition", "flavor") if name in fields}
    memory = fields.get("memory", 0)
    return Demand(
        cpus_per_task=fields.get("cpus", 1),
        memory_per_node=memory,
        gpus_per_node=gpus,
        is_granted=state is not State.HELD,
        **named,
    )


def _count(job: Job) -> None:
    ledger = Ledger()
    ledger.take(job)
    with transaction.atomic():
        ledger.apply(now=timezone.now())


def containers(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the value of Job.containers for a pod."""
    spec = pod["spec"]
    return [
        {"name": container["name"], "image": container["image"], "init": part == "initContainers"}
        for part in ("initContainers", "containers")
        for container in spec.get(part) or []
    ]


def _demanded_by(state: State) -> dict[str, Any]:
    now = timezone.now()
    fields: dict[str, Any] = {}
    if state is State.QUEUED:
        fields |= {"next_submit_at": now}
    if state in AT_SITE or state in ENDS:
        attempt_key = new_key()
        fields |= {"attempt": 1, "attempt_key": attempt_key, "folder": f".isthmus/jobs/{attempt_key}"}
    if state is State.SUBMITTING:
        fields |= {"next_find_at": now + timedelta(seconds=150)}
    elif state in AT_SITE or state in ENDS:
        fields |= {"native_id": str(next(_numbers)), "submitted_at": now}
    if state in {State.RUNNING, State.SUCCEEDED, State.FAILED}:
        fields |= {"started_at": now}
    if state in ENDS:
        fields |= {"ended_at": now}
    return fields
