"""A small model of interLink's virtual kubelet: it calls us over the wire as the real one does, and believes us.

    kubelet = Kubelet("http://127.0.0.1:8000/vk/demo", token)
    kubelet.run()
    kubelet.create(make_pod("hello", "echo hello"))
    ...
    kubelet.stop()

`pods[uid]` has `.phase`, `.message` and `.history` of each pod. Source: see kubelet_rules.py.
"""

from __future__ import annotations

import json
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import requests

from tests.kubelet_pod import Pod, as_scheduled, as_sent
from tests.kubelet_rules import ENDS, Json, KubeletPanic

if TYPE_CHECKING:
    from collections.abc import Iterator

CREATE_TIMEOUT = 120.0  # response headers must arrive within these seconds, or the pod has failed
NO_TIME = "0001-01-01T00:00:00Z"


class LogsRefused(Exception):
    """/getLogs answered anything but 200."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


class Kubelet:
    """One virtual node. poll_interval, ping_interval: seconds between the end of one round and the next.

    new_connections: each request opens its own connection and leaves it open, as the real kubelet does with TLS.
    `ready` is the node's condition, None before the first ping; `capacity` is what the last ping wrote into the node.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        poll_interval: float = 5.0,
        ping_interval: float = 30.0,
        new_connections: bool = False,
    ) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.poll_interval = poll_interval
        self.ping_interval = ping_interval
        self.pods: dict[str, Pod] = {}
        self.ready: bool | None = None
        self.capacity: Json = {}
        self.panic: KubeletPanic | None = None
        self._new_connections = new_connections
        self._sessions: list[requests.Session] = []
        self._own = threading.local()
        self._lock = threading.Lock()
        self._creates: list[threading.Thread] = []
        self._loops: list[threading.Thread] = []
        self._stopping = threading.Event()

    # What the cluster asks of it

    def create(
        self,
        pod: Json,
        *,
        configmaps: list[Json] | None = None,
        secrets: list[Json] | None = None,
        projected: list[Json] | None = None,
    ) -> Pod:
        """Take a v1.Pod and send it in a thread of its own; `settle` waits for the answers."""
        known = Pod(as_scheduled(pod))
        known.note()
        with self._lock:
            self.pods[known.uid] = known
        with_objects = {"configmaps": configmaps, "secrets": secrets, "projectedvolumesmaps": projected}
        thread = threading.Thread(target=self._create, args=(known, with_objects), daemon=True)
        self._creates.append(thread)
        thread.start()
        return known

    def delete(self, uid: str) -> int:
        """Send the delete once and forget the pod, whatever the answer. Returns the status code, 0 for none."""
        with self._lock:
            pod = self.pods.pop(uid)
        try:
            return self._send("DELETE", "/delete", "DeletePod", pod.as_json(), timeout=30).status_code
        except requests.RequestException:
            return 0

    def logs(self, uid: str, container: str, **options: object) -> bytes:
        """Return the log. options: Tail, Bytes, Timestamps, Previous, SinceSeconds, SinceTime. Raises LogsRefused."""
        return b"".join(self.follow(uid, container, Follow=False, **options))

    def follow(self, uid: str, container: str, **options: object) -> Iterator[bytes]:
        """Yield the log piece by piece until the container ends. Closing the iterator closes the connection."""
        body = json.dumps(self._log_request(uid, container, options)).encode()
        response = self._send("GET", "/getLogs", "GetLogs", body, stream=True, timeout=(10, 300))
        with response:
            if response.status_code != 200:
                raise LogsRefused(response.status_code, response.text)
            yield from response.iter_content(None)

    # What it does by itself

    def poll_once(self) -> int:
        """Poll every pod that has not ended, one by one. Return the number of polls."""
        with self._lock:
            live = [pod for pod in self.pods.values() if not pod.ended]
        for pod in live:
            self.poll(pod)
        return len(live)

    def poll(self, pod: Pod) -> None:
        """Send one GET /status with this pod as the body. Anything but 200 with a non-empty list changes nothing."""
        try:
            response = self._send("GET", "/status", "GetStatus", b"[%s]" % pod.as_json(), timeout=30)
            answer = response.json() if response.status_code == 200 else None
        except requests.RequestException:
            return
        if answer:
            pod.learn(answer[0])

    def ping(self) -> None:
        """Send a ping. Any answer but 200 turns the node NotReady at once."""
        try:
            response = self._send("POST", "/pinglink", "PingInterLink", timeout=30)
            self.ready = response.status_code == 200
            if self.ready:
                self.capacity = response.json().get("resources") or {}
        except requests.JSONDecodeError:
            return  # older servers answer with plain text: ready, without a capacity
        except requests.RequestException:
            self.ready = False

    def run(self) -> None:
        """Poll and ping in threads until `stop`."""
        self._stopping.clear()
        for work, interval in ((self.ping, self.ping_interval), (self.poll_once, self.poll_interval)):
            loop = threading.Thread(target=self._repeat, args=(work, interval), daemon=True)
            self._loops.append(loop)
            loop.start()

    def stop(self) -> None:
        """End the threads and close connections. Raises the KubeletPanic that ended a thread earlier, if any."""
        self._stopping.set()
        for loop in self._loops:
            loop.join()
        self._loops.clear()
        self.settle()
        self._hang_up(list(self._sessions))
        self._own = threading.local()
        if self.panic is not None:
            raise self.panic

    def restart(self) -> None:
        """Continue as after a crash: pods with a job id are polled, the others are created again.

        The real kubelet reads the pods' ConfigMaps and Secrets from the cluster again; this model sends none the second
        time.
        """
        self.settle()
        with self._lock:
            unsent = [pod for pod in self.pods.values() if not pod.ended and not pod.job_id]
        for pod in unsent:
            self.create(pod.body)

    def settle(self, timeout: float = CREATE_TIMEOUT + 10) -> None:
        """Wait until every create so far has been answered."""
        creates, self._creates = self._creates, []
        for create in creates:
            create.join(timeout)

    def wait(self, uid: str, *phases: str, timeout: float = 60.0) -> Pod:
        """Wait, while `run` is active, until the pod is in one of these phases (default: the final ones)."""
        deadline = time.monotonic() + timeout
        pod = self.pods[uid]
        while pod.phase not in (phases or ENDS):
            if self.panic is not None:
                raise self.panic
            if time.monotonic() > deadline:
                raise TimeoutError(f"The pod {uid} is still {pod.phase} after {timeout} s: {pod.body['status']}")
            time.sleep(0.05)
        return pod

    # How it sends

    def _create(self, pod: Pod, with_objects: Json) -> None:
        with pod.lock:
            body = json.dumps({"pod": as_sent(pod.body), **with_objects, "jobscriptURL": ""}).encode()
        try:
            response = self._send("POST", "/create", "CreatePod", body, timeout=CREATE_TIMEOUT)
            answer = response.json() if response.status_code == 200 else None
            reason = f"{response.status_code}: {response.text}"
        except requests.RequestException as error:
            answer, reason = None, f"no answer: {type(error).__name__}"
        if isinstance(answer, dict) and answer.get("PodJID"):
            pod.learn_job_id(answer["PodJID"])
        else:
            pod.fail(reason)
        if not self._new_connections:
            self._hang_up([self._own.session])

    def _repeat(self, work: Any, interval: float) -> None:
        while not self._stopping.is_set():
            try:
                work()
            except KubeletPanic as panic:
                self.panic = panic
                self._stopping.set()
            self._stopping.wait(interval)

    def _log_request(self, uid: str, container: str, options: Json) -> Json:
        metadata = self.pods[uid].body["metadata"]
        unset = {"Tail": 0, "Bytes": 0, "Timestamps": False, "Follow": True, "Previous": False}
        return {
            "Namespace": metadata["namespace"],
            "PodUID": uid,
            "PodName": metadata["name"],
            "ContainerName": container,
            "Opts": {**unset, "SinceSeconds": 0, "SinceTime": NO_TIME, **options},
        }

    def _hang_up(self, sessions: list[requests.Session]) -> None:
        for session in sessions:
            session.close()
            with self._lock:
                self._sessions.remove(session)

    def _send(self, method: str, path: str, session: str, body: bytes = b"", **how: Any) -> requests.Response:
        headers = {
            "Authorization": f"Bearer {self.token}".strip(),
            "InterLink-Http-Session": f"{session}#{random.randint(0, 99999)}",  # a label, not a secret
            "User-Agent": "Go-http-client/1.1",
            "Accept-Encoding": "gzip",
            "Content-Type": "application/json",
        }
        return self._session().request(method, self.url + path, headers=headers, data=body, **how)

    def _session(self) -> requests.Session:
        """Return this thread's connection; with new_connections, a new one that stays open until `stop`."""
        session = getattr(self._own, "session", None)
        if session is None or self._new_connections:
            session = self._own.session = requests.Session()
            session.trust_env = False  # this machine's proxies and netrc do not belong to a cluster
            with self._lock:
                self._sessions.append(session)
        return session
