"""Job -> the two texts that answer /status. Pure: no database, no clock.

Source of the rules: the interLink virtual kubelet's reading of `PodStatus` (see docs/interlink-wire.md). It panics on,
or forgets, anything but exactly the pod's containers with exactly one state each, so both texts hold that by
construction. `first` is for a kubelet that has not seen the pod's containers yet: some finished beside others that are
not would make it panic, so finished ones are still told as running there.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import orjson

from jobs.states import ENDS, State

if TYPE_CHECKING:
    from jobs.models import Job

#: exit codes for containers that never told theirs, by how the job ended
_UNTOLD = {State.SUCCEEDED: 0, State.FAILED: 1, State.CANCELLED: 143}

#: what a pod says that waits with nothing more to be said
_WAITS = {
    State.HELD: "Accepted, and waits.",
    State.QUEUED: "Accepted; a worker hands it to the site next.",
    State.SUBMITTING: "It is being handed to the site.",
    State.PENDING: "The site has it in its queue.",
}


@dataclass(frozen=True)
class StatusTexts:
    """JSON of one PodStatus: for a kubelet that sees the pod first, and for one that knows it."""

    first: str
    exact: str


def render(job: Job) -> StatusTexts:
    """Both texts of a job as it stands; empty, not to be sent, for a pod whose containers all stay with the kubelet.

    An empty list of containers would make it read as succeeded.
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
    """One container's state: what it told of itself first, then what follows from the job's."""
    state = State(job.state)
    if seen.get("code") is not None:
        return _terminated(seen["code"], seen, job)
    if state in ENDS:
        return _terminated(_untold_code(job, state, seen), seen, job)
    if state is not State.RUNNING:
        return {"waiting": {"reason": job.reason or state.capitalize(), "message": job.message or _WAITS[state]}}
    if "started" in seen:
        return {"running": {"startedAt": _time(seen["started"])}}
    return _not_started(job, container)


def _not_started(job: Job, container: dict[str, Any]) -> dict[str, Any]:
    """A container of a running job that has told nothing. A site that never tells of containers runs them all."""
    has_inits = any(other["init"] for other in job.containers)
    if not job.observed and not has_inits and job.started_at is not None:
        return {"running": {"startedAt": _time(job.started_at.timestamp())}}
    if has_inits and not container["init"]:
        return {"waiting": {"reason": "PodInitializing", "message": "Waits for the init containers."}}
    return {"waiting": {"reason": "ContainerCreating", "message": "The batch job has started."}}


def _terminated(code: int, seen: dict[str, Any], job: Job) -> dict[str, Any]:
    ended = seen.get("ended") or (job.ended_at.timestamp() if job.ended_at else None)
    return {
        "terminated": {
            "exitCode": code,
            "reason": _end_reason(code, seen, job),
            "message": "" if code == 0 else job.message,
            "startedAt": _time(seen.get("started")),
            "finishedAt": _time(ended),
        }
    }


def _end_reason(code: int, seen: dict[str, Any], job: Job) -> str:
    if code == 0:
        return "Completed"
    return "Error" if seen.get("code") is not None or not job.reason else job.reason


def _untold_code(job: Job, state: State, seen: dict[str, Any]) -> int:
    """The exit code of a container that left none. A failed job never reads as succeeded."""
    if state is State.SUCCEEDED:
        return 0
    if "started" in seen or not job.observed:
        return job.exit_code or _UNTOLD[state]
    return _UNTOLD[state]


def _seen_first(statuses: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same list, safe as a first sight: all terminated, or none."""
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
