"""The demo's pods, and a small virtual kubelet that sends and watches them."""

from __future__ import annotations

import json
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from deploy.demo.seed import Node

Pod = dict[str, Any]

HELLO = "echo hello from $(hostname); date"
FAILS = "echo this one fails on purpose >&2; exit 3"
LONG = "for step in 1 2 3 4 5 6 7 8 9 10; do echo step $step of 10; sleep 1; done"


def pods() -> list[Pod]:
    """Return three pods: one that succeeds, one that fails with exit code 3, and a longer one with a log to follow."""
    run = uuid.uuid4().hex[:5]
    return [_pod(f"hello-{run}", HELLO), _pod(f"fails-{run}", FAILS), _pod(f"counts-{run}", LONG)]


def _pod(name: str, script: str) -> Pod:
    container = {"name": "main", "image": "busybox:1.36", "command": ["sh", "-c", script], "resources": {}}
    return {
        "metadata": {"name": name, "namespace": "demo", "uid": str(uuid.uuid4()), "annotations": {}},
        "spec": {"containers": [container], "restartPolicy": "Never"},
        "status": {"phase": "Pending", "containerStatuses": []},
    }


@dataclass
class Watcher:
    """Creates pods at one node and reports each change of their phase to `say`."""

    node: Node
    say: Callable[[str], None]
    _reported: dict[str, str] = field(default_factory=dict)  # pod name -> phase

    def create(self, pod: Pod) -> None:
        """Send the pod with POST /create, as a virtual kubelet does."""
        body = {"pod": pod, "configmaps": None, "secrets": None, "projectedvolumesmaps": None, "jobscriptURL": ""}
        with self._call("POST", "create", body) as answer:
            pod["metadata"]["annotations"]["JobID"] = json.load(answer)["PodJID"]

    def watch(self, pods: list[Pod], until: float) -> bool:
        """Poll each pod until all have ended. Returns False if `until` (monotonic seconds) comes first."""
        while time.monotonic() < until:
            still = [pod for pod in pods if not self._is_over(pod)]
            if not still:
                return True
            time.sleep(1)
        return False

    def follow(self, pod: Pod) -> Iterator[str]:
        """Yield the lines of a pod's log as they are written, until the pod ends."""
        body = {
            "Namespace": pod["metadata"]["namespace"],
            "PodUID": pod["metadata"]["uid"],
            "PodName": pod["metadata"]["name"],
            "ContainerName": "main",
            "Opts": {"Follow": True},
        }
        with self._call("GET", "getLogs", body) as answer:
            for line in answer:
                yield line.decode(errors="replace").rstrip("\n")

    def _is_over(self, pod: Pod) -> bool:
        with self._call("GET", "status", [pod]) as answer:
            found = json.load(answer)
        if found:
            pod["status"]["containerStatuses"] = found[0]["containers"]
        state = pod["status"]["containerStatuses"][0]["state"] if pod["status"]["containerStatuses"] else {}
        name, phase = pod["metadata"]["name"], _in_words(state)
        if phase and self._reported.get(name) != phase:
            self._reported[name] = phase
            self.say(f"{name}: {phase}")
        return "terminated" in state

    def _call(self, method: str, path: str, body: object) -> Any:
        request = Request(  # noqa: S310  (our own address, always http)
            f"{self.node.url}/{path}",
            method=method,
            data=json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.node.token}", "Content-Type": "application/json"},
        )
        return urlopen(request, timeout=120)  # noqa: S310


def _in_words(state: dict[str, Any]) -> str:
    if waiting := state.get("waiting"):
        return f"waits ({waiting['reason']}{': ' + waiting['message'] if waiting['message'] else ''})"
    if "running" in state:
        return "runs"
    if ended := state.get("terminated"):
        return "succeeded" if ended["exitCode"] == 0 else f"failed with exit code {ended['exitCode']}"
    return ""
