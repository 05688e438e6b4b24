"""How interLink's virtual kubelet turns an answer to /status into a pod's phase, and what makes it panic.

Source: interlink-hq/interLink 0.5 to 0.6.2 (`checkPodsStatus`), observed by running it. Where the real one panics only
for some orders of containers, this one always panics: an answer must be safe for every order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

Json = dict[str, Any]

STATES = ("waiting", "running", "terminated")
ENDS = ("Succeeded", "Failed")


class KubeletPanic(Exception):
    """The virtual kubelet's process would have died here, and with it every pod of its node."""


def offloaded(pod: Json, *, init: bool = False) -> list[str]:
    """Return the names of the containers that /create carries, in order, without those kept in the cluster."""
    kind = "init-containers" if init else "containers"
    annotation = (pod["metadata"].get("annotations") or {}).get(f"interlink.eu/disable-offload-{kind}", "")
    kept = {name.strip() for name in annotation.split(",")}
    containers = pod["spec"].get("initContainers" if init else "containers") or []
    return [container["name"] for container in containers if container["name"] not in kept]


def observe(pod: Json, answer: Json) -> list[str]:
    """Copy one PodStatus into the pod's own `status`, as the kubelet does.

    Returns sentences about contract violations that the kubelet survives. Raises KubeletPanic for the others.
    """
    complaints = []
    for init in (True, False):
        statuses = answer.get("initContainers" if init else "containers") or []
        complaints += _complaints(statuses, offloaded(pod, init=init))
        _take_over(pod, statuses, init=init)
    phase = _phase(answer)
    if phase is not None:
        pod["status"]["phase"] = phase
    return complaints


def _take_over(pod: Json, statuses: Sequence[Json], *, init: bool) -> None:
    field = "initContainerStatuses" if init else "containerStatuses"
    known = {status["name"]: status for status in pod["status"].get(field) or []}
    names = [status["name"] for status in statuses]
    _panic_if_fatal(statuses, known.keys(), offloaded(pod, init=init))
    known |= {status["name"]: _with_own_reason(status) for status in statuses}
    if names:
        pod["status"][field] = list(known.values())


def _panic_if_fatal(statuses: Sequence[Json], known: Collection[str], expected: Sequence[str]) -> None:
    names = [status["name"] for status in statuses]
    ended = ["terminated" in status["state"] for status in statuses]
    if not any(ended):
        return
    if len(names) < len(expected):
        raise KubeletPanic(f"A container has terminated, and only {names} of {expected} are reported.")
    if not set(names) <= set(expected):
        raise KubeletPanic(f"A container has terminated, and {names} are not the pod's {expected}.")
    if not all(ended) and not set(names) <= set(known):
        raise KubeletPanic(f"The first status of {names} mixes terminated containers with others.")


def _complaints(statuses: Sequence[Json], expected: Sequence[str]) -> list[str]:
    names = [status["name"] for status in statuses]
    wrong = [] if names == expected else [f"reported containers {names} instead of {expected}"]
    for status in statuses:
        states = [name for name in STATES if name in status["state"]]
        if len(states) != 1:
            wrong.append(f"reported {len(states)} states of {status['name']}")
    return wrong


def _with_own_reason(status: Json) -> Json:
    """Overwrite the reason of every terminated container, as the kubelet does."""
    terminated = status["state"].get("terminated")
    if terminated is None:
        return status
    code = terminated["exitCode"]
    reason = f"Error: {code}" if code else "Completed"
    return {**status, "state": {"terminated": {**terminated, "reason": reason}}}


def _phase(answer: Json) -> str | None:
    """Return the resulting phase, or None if it stays as it is. A pod without containers counts as all terminated."""
    statuses = answer.get("containers") or []
    ended = [status["state"]["terminated"] for status in statuses if "terminated" in status["state"]]
    if len(ended) == len(statuses):
        return "Failed" if any(one["exitCode"] for one in ended) else "Succeeded"
    if any("terminated" not in status["state"] for status in answer.get("initContainers") or []):
        return "Pending"
    return "Running" if any("running" in status["state"] for status in statuses) else None
