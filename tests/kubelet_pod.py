"""One pod as its kubelet knows it, shared by the threads that create it and poll it."""

from __future__ import annotations

import copy
import json
import threading
import time
from dataclasses import dataclass, field

from tests.kubelet_rules import ENDS, Json, observe, offloaded


@dataclass
class Pod:
    """One pod as its kubelet knows it. history: (seconds of time.monotonic, phase) at each change."""

    body: Json
    message: str = ""
    history: list[tuple[float, str]] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    created: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def uid(self) -> str:
        return str(self.body["metadata"]["uid"])

    @property
    def phase(self) -> str:
        return str(self.body["status"]["phase"])

    @property
    def job_id(self) -> str:
        """Return the answer of /create. A pod that has a job id is not created again after a restart."""
        return str((self.body["metadata"].get("annotations") or {}).get("JobID", ""))

    @property
    def ended(self) -> bool:
        return self.phase in ENDS

    def note(self) -> None:
        if not self.history or self.history[-1][1] != self.phase:
            self.history.append((time.monotonic(), self.phase))

    def as_json(self) -> bytes:
        """Return the current body as JSON, under the lock: the create's thread and the polls use the same pod."""
        with self.lock:
            return json.dumps(self.body).encode()

    def learn_job_id(self, job_id: str) -> None:
        with self.lock:
            self.body["metadata"]["annotations"] = {**(self.body["metadata"].get("annotations") or {}), "JobID": job_id}
        self.created.set()

    def fail(self, message: str) -> None:
        """Fail the pod for good, with an answer to /create that the kubelet does not accept as success."""
        with self.lock:
            self.message = message
            self.body["status"] |= {"phase": "Failed", "message": message}
            self.note()
        self.created.set()

    def learn(self, told: Json) -> None:
        """Take over element 0 of an answer to /status. Raises KubeletPanic."""
        if told["UID"] != self.uid:
            self.complaints.append(f"polled {self.uid}, answered {told['UID']}")
            return
        with self.lock:
            self.complaints += observe(self.body, told)
            self.note()


def as_scheduled(pod: Json) -> Json:
    """Return the pod as its kubelet gets it: pending, with all containers waiting."""
    own = copy.deepcopy(pod)
    waiting = {
        "reason": "Remote pod submitted",
        "message": "The pod has been submitted to the remote plugin for creation",
    }
    statuses = [
        {"name": name, "state": {"waiting": waiting}, "lastState": {}, "ready": False, "restartCount": 0, "imageID": ""}
        for name in offloaded(own)
    ]
    own["status"] = {"containerStatuses": statuses, **(own.get("status") or {}), "phase": "Pending"}
    return own


def as_sent(pod: Json) -> Json:
    """Return the pod as /create carries it: without the containers that stay in the cluster."""
    sent = copy.deepcopy(pod)
    for key, init in (("containers", False), ("initContainers", True)):
        names = offloaded(sent, init=init)
        kept = [container for container in sent["spec"].get(key) or [] if container["name"] in names]
        sent["spec"][key] = kept or None
    return sent
