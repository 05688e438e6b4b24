"""Renders a job as the two texts that answer /status. Pure: no database, no clock.

The rules come from how the interLink virtual kubelet reads a `PodStatus` (docs/interlink-wire.md). It panics, or
forgets the pod, unless it gets exactly the pod's containers with exactly one state each. `first` is for a kubelet that
has not seen the pod's containers yet: it panics on finished containers beside unfinished ones, so there a finished one
reads as running until all have finished.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from jobs.states import ENDS, State

if TYPE_CHECKING:
    from jobs.models import Job

#: Default exit codes, by the state in which the job ended.
_DEFAULT_CODES = {State.SUCCEEDED: 0, State.FAILED: 1, State.CANCELLED: 143}

#: Default message for a waiting pod.
_WAITS = {
    State.HELD: "Accepted; it waits for its start.",
    State.QUEUED: "Accepted; a worker submits it to the site next.",
    State.SUBMITTING: "A worker is submitting it to the site.",
    State.PENDING: "The site has it in its queue.",
}


@dataclass(frozen=True)
class StatusTexts:
    """JSON of one PodStatus: `first` for a kubelet that has not seen the pod's containers, `exact` for the others."""

    first: str
    exact: str


def render_status(job: Job) -> StatusTexts:
    """Both texts of a job.

    They are empty, and must not be sent, where the kubelet itself runs all of the pod's containers: it would read an
    empty list of containers as a pod that succeeded.
    """
    inits = _statuses(job, init=True)
    mains = _statuses(job, init=False)
    if not mains:
        return StatusTexts("", "")
    return StatusTexts(
        first=_text(job, [_seen_first(inits), _seen_first(mains)]),
        exact=_text(job, [inits, mains]),
    )


def _text(job: Job, lists: list[list[dict[str, Any]]]) -> str:
    inits, mains = lists
    status = {
        "name": job.pod_name,
        "UID": str(job.pod_uid),
        "namespace": job.pod_namespace,
        "JID": job.key,
        "containers": mains,
        "initContainers": inits or None,
    }
    return orjson.dumps(status).decode()


def _statuses(job: Job, *, init: bool) -> list[dict[str, Any]]:
    return [
        _status(container, _state(job, container, job.observed.get(container["name"], {})))
        for container in job.containers
        if container["init"] is init
    ]


def _status(container: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": container["name"],
        "state": state,
        "lastState": {},
        "ready": "running" in state,
        "started": "running" in state,
        "restartCount": 0,
        "image": container["image"],
        "imageID": "",
    }


def _state(job: Job, container: dict[str, Any], seen: dict[str, Any]) -> dict[str, Any]:
    """One container's state: from its own report if there is one, otherwise from the job's state."""
    state = State(job.state)
    if seen.get("code") is not None:
        return _terminated(seen["code"], seen, job)
    if state in ENDS:
        return _terminated(_default_code(job, state, seen), seen, job)
    if state is not State.RUNNING:
        return {"waiting": {"reason": job.reason or state.capitalize(), "message": job.message or _WAITS[state]}}
    if "started" in seen:
        return {"running": {"startedAt": _time(seen["started"])}}
    return _not_started(job, container)


def _not_started(job: Job, container: dict[str, Any]) -> dict[str, Any]:
    """The state of a container without a report in a running job. Where no container has one, all of them run."""
    has_inits = any(other["init"] for other in job.containers)
    if not job.observed and not has_inits and job.started_at is not None:
        return {"running": {"startedAt": _time(job.started_at.timestamp())}}
    if has_inits and not container["init"]:
        return {"waiting": {"reason": "PodInitializing", "message": "Waits for the init containers."}}
    return {"waiting": {"reason": "ContainerCreating", "message": "The batch job has started."}}


def _terminated(code: int, seen: dict[str, Any], job: Job) -> dict[str, Any]:
    ended = seen.get("ended") or (job.ended_at.timestamp() if job.ended_at else None)
    reason = "Completed"
    if code != 0:
        reason = "Error" if seen.get("code") is not None or not job.reason else job.reason
    return {
        "terminated": {
            "exitCode": code,
            "reason": reason,
            "message": "" if code == 0 else job.message,
            "startedAt": _time(seen.get("started")),
            "finishedAt": _time(ended),
        }
    }


def _default_code(job: Job, state: State, seen: dict[str, Any]) -> int:
    """The exit code of a container that reported none. It is never 0 in a failed job."""
    if state is State.SUCCEEDED:
        return 0
    if "started" in seen or not job.observed:
        return job.exit_code or _DEFAULT_CODES[state]
    return _DEFAULT_CODES[state]


def _seen_first(statuses: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same list with all containers terminated, or none: safe for a kubelet that sees the pod first."""
    ended = ["terminated" in status["state"] for status in statuses]
    if all(ended) or not any(ended):
        return statuses
    return [_as_running(status) if "terminated" in status["state"] else status for status in statuses]


def _as_running(status: dict[str, Any]) -> dict[str, Any]:
    started = status["state"]["terminated"]["startedAt"] or status["state"]["terminated"]["finishedAt"]
    return {**status, "state": {"running": {"startedAt": started}}, "ready": True, "started": True}


def _time(epoch: float | None) -> str | None:
    """RFC 3339 to the second, as Kubernetes writes times."""
    return None if epoch is None else datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
