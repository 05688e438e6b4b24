"""/jobs/<key>: shows one job with its containers, history and usage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from django.utils import timezone
from rest_framework import serializers

from controlplane.api.pages import all_shown, shown
from jobs import queries
from jobs.api import job_list
from jobs.api.job_list import JobOut
from jobs.placement import explain
from jobs.states import MEANING, WAITING, State

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.models import Job

_HISTORY_MOST = 200
_WAITING = WAITING | {State.SUBMITTING, State.PENDING}
_STATES = ("waiting", "running", "terminated")
EXAMPLE = {
    **job_list.EXAMPLE,
    "uid": "1f0c4ad2-8f4b-4a06-9a3e-5b1f5e1c2d3e",
    "waits": "Jobs of higher priority are before it.",
    "containers": [
        {
            "name": "main",
            "image": "ghcr.io/example/train:2",
            "init": False,
            "state": "waiting",
            "reason": "Priority",
            "message": "Jobs of higher priority are before it.",
            "exit_code": None,
            "started_at": None,
            "ended_at": None,
        }
    ],
    "attempt": 1,
    "native_id": "184467",
    "partition": "gpu",
    "flavor": "",
    "allocation": 12,
    "exit_code": None,
    "cancel_requested_at": None,
    "cancel_reason": "",
    "history": [
        {
            "at": "2026-11-25T09:00:00Z",
            "old": "",
            "new": "queued",
            "attempt": 0,
            "native_id": "",
            "reason": "",
            "message": "",
        }
    ],
    "usage": [],
}


class ContainerOut(serializers.Serializer[Any]):
    """A container, as its site reported it."""

    name = serializers.CharField()
    image = serializers.CharField()
    init = serializers.BooleanField()
    state = serializers.ChoiceField(choices=_STATES)
    reason = serializers.CharField()
    message = serializers.CharField()
    exit_code = serializers.IntegerField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)


class TransitionOut(serializers.Serializer[Any]):
    """One line of the history."""

    at = serializers.DateTimeField()
    old = serializers.CharField()
    new = serializers.CharField()
    attempt = serializers.IntegerField()
    native_id = serializers.CharField()
    reason = serializers.CharField()
    message = serializers.CharField()


class JobUsageOut(serializers.Serializer[Any]):
    """What one attempt used."""

    native_id = serializers.CharField()
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField()
    cpus = serializers.IntegerField()
    gpus = serializers.IntegerField()
    nodes = serializers.IntegerField()
    cpu_hours = serializers.FloatField()
    gpu_hours = serializers.FloatField()
    outcome = serializers.CharField()
    estimated = serializers.BooleanField(help_text="the site gave no times, so ours are used")


class JobDetailOut(JobOut):
    """A job, its containers, its history and what it used."""

    uid = serializers.UUIDField(help_text="the pod's")
    waits = serializers.CharField(help_text="why it is not running now; empty once it runs or has ended")
    containers = ContainerOut(many=True)
    attempt = serializers.IntegerField(help_text="how often it was submitted to the site")
    native_id = serializers.CharField(help_text="the site's name for it")
    partition = serializers.CharField()
    flavor = serializers.CharField()
    allocation = serializers.IntegerField(allow_null=True, help_text="the allocation that counts it")
    exit_code = serializers.IntegerField(allow_null=True)
    cancel_requested_at = serializers.DateTimeField(allow_null=True)
    cancel_reason = serializers.CharField()
    history = TransitionOut(many=True, help_text=f"oldest first; at most the latest {_HISTORY_MOST} lines")
    usage = JobUsageOut(many=True)

    def to_representation(self, job: Any) -> dict[str, Any]:
        """Shows a job from `queries.job`, with the reason for which it waits now."""
        return {
            **shown(JobOut, job),
            "uid": str(job.pod_uid),
            "waits": _waits(job),
            "containers": list(_containers(job)),
            **{name: getattr(job, name) for name in _PLAIN},
            "allocation": job.allocation_id,
            "history": all_shown(TransitionOut, queries.latest_history(job, most=_HISTORY_MOST)),
            "usage": all_shown(JobUsageOut, queries.job_usage(job)),
        }


def _waits(job: Any) -> str:
    state = State(job.state)
    if state not in _WAITING:
        return ""
    # Judged again where the caller can see the tenant: otherwise its allocation cannot be read.
    live = explain.why_waits(job, now=timezone.now()) if job.tenant_slug else None
    return (live.message if live else job.message) or f"{MEANING[state].capitalize()}."


_PLAIN = ("attempt", "native_id", "partition", "flavor", "exit_code", "cancel_requested_at", "cancel_reason")


def _containers(job: Job) -> Iterator[dict[str, Any]]:
    """Each container, read from the text that answers /status, which has all of it."""
    status = orjson.loads(job.status_exact) if job.status_exact else {}
    states = {
        each["name"]: each["state"] for part in ("containers", "initContainers") for each in status.get(part) or []
    }
    for container in job.containers:
        state = states.get(container["name"], {})
        kind = next((name for name in _STATES if name in state), "waiting")
        details = state.get(kind, {})
        yield {
            **{name: container[name] for name in ("name", "image", "init")},
            "state": kind,
            "reason": details.get("reason", ""),
            "message": details.get("message", ""),
            "exit_code": details.get("exitCode"),
            "started_at": details.get("startedAt"),
            "ended_at": details.get("finishedAt"),
        }
