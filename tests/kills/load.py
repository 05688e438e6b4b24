"""Bursts of pods through the wire, some of them deleted again, and what is known of each afterwards."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.pods import make_pod

if TYPE_CHECKING:
    import random
    from pathlib import Path

    from tests.kubelet import Kubelet
    from tests.kubelet_pod import Pod


@dataclass(frozen=True)
class Kind:
    """What a pod does, and its exit code if it is not stopped."""

    name: str
    shell: str
    exit_code: int = 0


SUCCEEDS, FAILS, SHORT = Kind("succeeds", "exit 0"), Kind("fails", "exit 3", 3), Kind("short", "sleep 2")
#: Always deleted. It shows that it was stopped, where a shell might outlive its `sleep` and exit with 0.
LONG = Kind("long", "exec sleep 40")
KINDS = (SUCCEEDS, SUCCEEDS, FAILS, FAILS, SHORT, LONG)
#: Of the other pods, one in this many is deleted as well.
_DELETED = 6


@dataclass
class Sent:
    """One pod as its sender knows it. delete: the status of its delete, 0 for no answer, None if none was sent."""

    pod: Pod
    kind: Kind
    during: str
    delete: int | None = None

    @property
    def answered(self) -> bool:
        """Return whether /create answered 200."""
        return bool(self.pod.job_id)

    def __str__(self) -> str:
        deleted = "" if self.delete is None else f", delete {self.delete}"
        return f"{self.kind.name} pod {self.pod.uid} of {self.during} (answered: {self.answered}{deleted})"


@dataclass
class Load:
    """runs: a folder in which each pod leaves a line when it really runs."""

    kubelet: Kubelet
    runs: Path
    sent: list[Sent] = field(default_factory=list)
    _deleters: list[threading.Thread] = field(default_factory=list)

    def burst(self, count: int, *, during: str, chance: random.Random) -> None:
        """Create this many pods at once, each in its own thread. Some are deleted a moment later."""
        for _ in range(count):
            kind = chance.choice(KINDS)
            sent = Sent(self.kubelet.create(self._pod(kind)), kind, during)
            self.sent.append(sent)
            if kind is LONG or chance.randrange(_DELETED) == 0:
                self._delete_after(chance.uniform(0, 5), sent)

    def settle(self) -> None:
        """Wait until every create and delete has been answered or has failed."""
        self.kubelet.settle()
        for deleter in self._deleters:
            deleter.join()
        self._deleters.clear()

    def runs_of(self, sent: Sent) -> int:
        """Return how often the pod's own command has begun."""
        place = self.runs / sent.pod.uid
        return len(place.read_text().splitlines()) if place.exists() else 0

    def _pod(self, kind: Kind) -> dict[str, object]:
        pod = make_pod(kind.name)
        uid = pod["metadata"]["uid"]
        pod["spec"]["containers"][0]["args"] = [f"echo run >> {self.runs}/{uid}; {kind.shell}"]
        return pod

    def _delete_after(self, seconds: float, sent: Sent) -> None:
        deleter = threading.Thread(target=self._delete, args=(seconds, sent))
        self._deleters.append(deleter)
        deleter.start()

    def _delete(self, seconds: float, sent: Sent) -> None:
        time.sleep(seconds)
        sent.delete = self.kubelet.delete(sent.pod.uid)
