"""A simulated site: its batch jobs, and the faults that a test injects. All connectors with its name share it."""

from __future__ import annotations

import threading
from collections import deque
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING, Literal, TypeVar

from sites.connectors.base import InDoubt, Rejected, Unreachable
from sites.connectors.memory.job import BatchJob, Behaviour
from sites.workload import PartitionReport, Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from sites.connectors.base import Submitted
    from sites.workload import JobRef, Workload

Operation = Literal["submit", "find", "poll", "cancel", "read_logs", "capacity", "clean"]
T = TypeVar("T")

_sites: dict[str, MemorySite] = {}
_registry = threading.Lock()


def memory_site(name: str) -> MemorySite:
    """Return this process's site of this name, so that a worker and a test use the same one."""
    with _registry:
        return _sites.setdefault(name, MemorySite(name))


def forget_memory_sites() -> None:
    """Remove all sites, so that the next test starts without any."""
    with _registry:
        _sites.clear()


class MemorySite:
    """Holds batch jobs by key, their behaviour, and the injected faults. Every method is thread-safe.

    partitions: the answer of `capacity`. latency: seconds for each call. clock: the site's own time, aware. calls:
    (operation, number of items) of the latest calls, to count round trips. submissions: how many batch jobs were ever
    started, by key, to prove "exactly once".
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.lock = threading.RLock()
        self.clock: Callable[[], datetime] = lambda: datetime.now(UTC)
        self.latency = 0.0
        self.partitions = [PartitionReport("main", nodes=1, cpus=64, memory=256 << 30, time_limit=86400, default=True)]
        self.calls: deque[tuple[Operation, int]] = deque(maxlen=10_000)
        self.submissions: dict[str, int] = {}
        self._attempts: dict[str, BatchJob | None] = {}  # None: fenced, no job will ever run with this key
        self._native_ids = count(1)
        self._behaviours: dict[str, Behaviour] = {}
        self._refusals: dict[str, Rejected] = {}
        self._silent: dict[Operation | None, str] = {}
        self._lost_answers: deque[Operation | None] = deque()
        self._partial_answers: deque[int] = deque()

    # What jobs do

    def behave(self, behaviour: Behaviour, *, pod: str = "") -> None:
        """Set the behaviour of future jobs of this pod (`namespace/name`; empty: of all other pods)."""
        with self.lock:
            self._behaviours[pod] = behaviour

    def start(self, key: str) -> None:
        with self.lock:
            self.job(key).start(self.clock())

    def finish(self, key: str, exit_code: int = 0, *, exit_codes: Mapping[str, int] | None = None) -> None:
        """End every container with `exit_code`, or with its own code in `exit_codes`."""
        with self.lock:
            job = self.job(key)
            every = {container.name: exit_code for container in job.workload.containers}
            job.finish(self.clock(), every if exit_codes is None else exit_codes)

    def end(self, key: str, phase: Phase, reason: str, message: str = "", exit_code: int | None = None) -> None:
        """End the job from the site's side: `end(key, Phase.FAILED, "OOMKilled", exit_code=137)`."""
        with self.lock:
            self.job(key).end(phase, self.clock(), reason, message, exit_code)

    def requeue(self, key: str) -> None:
        with self.lock:
            self.job(key).requeue()

    def explain_waiting(self, key: str, reason: str, message: str) -> None:
        with self.lock:
            job = self.job(key)
            job.reason, job.message = reason, message

    def write_log(self, key: str, container: str, text: bytes) -> None:
        with self.lock:
            self.job(key).runs[container].write(text, self.clock())

    def forget(self, key: str) -> None:
        """Hide the job from polls, though it continues; `remember` makes it reappear."""
        with self.lock:
            self.job(key).hidden = True

    def remember(self, key: str) -> None:
        with self.lock:
            self.job(key).hidden = False

    def job(self, key: str) -> BatchJob:
        """Return the current state of the batch job with this key. Raises KeyError if there is none."""
        with self.lock:
            job = self._attempts[key]
            if job is None:
                raise KeyError(key)
            job.advance(self.clock())
            return job

    def keys(self) -> list[str]:
        """Return the keys that have a batch job, oldest first."""
        with self.lock:
            return [key for key, job in self._attempts.items() if job is not None]

    # Injected faults

    def go_silent(self, *operations: Operation, message: str = "") -> None:
        """Neither carry out nor answer these operations (default: all) until `answer_again`."""
        with self.lock:
            for operation in operations or (None,):
                self._silent[operation] = message or f"The site {self.name} does not answer."

    def answer_again(self) -> None:
        with self.lock:
            self._silent.clear()

    def lose_answer(self, operation: Operation | None = None, *, times: int = 1) -> None:
        """Carry out the next calls of this operation (None: of any), but lose their answers."""
        with self.lock:
            self._lost_answers.extend([operation] * times)

    def answer_only(self, items: int) -> None:
        """Carry out the next call with an answer by key for all items, but answer only for the first `items`."""
        with self.lock:
            self._partial_answers.append(items)

    def refuse(self, refusal: Rejected | None, *, pod: str = "") -> None:
        """Refuse future submissions of this pod (empty: of all other pods). None: accept them again."""
        with self.lock:
            if refusal is None:
                self._refusals.pop(pod, None)
            else:
                self._refusals[pod] = refusal

    # Called by the connector

    def heard(self, operation: Operation, items: int) -> None:
        """Record the call. Raises Unreachable while the site is silent."""
        with self.lock:
            self.calls.append((operation, items))
            silent = self._silent.get(operation) or self._silent.get(None)
        if silent:
            raise Unreachable(silent)

    def answered(self, operation: Operation) -> None:
        """Raises Unreachable if a test has asked to lose this answer."""
        with self.lock:
            for lost in (operation, None):
                if lost in self._lost_answers:
                    self._lost_answers.remove(lost)
                    raise Unreachable(f"The connection to the site {self.name} broke before it answered.")

    def delivered(self, answers: Mapping[str, T]) -> dict[str, T]:
        """Return the answers, or only the first of them if a test has called `answer_only`."""
        with self.lock:
            kept = self._partial_answers.popleft() if self._partial_answers else len(answers)
        return dict(list(answers.items())[:kept])

    def accept(self, workload: Workload) -> Submitted:
        with self.lock:
            if workload.key in self._attempts:
                return InDoubt("The site already knows this attempt.")
            refusal = self._refusals.get(workload.pod) or self._refusals.get("")
            if refusal is not None:
                self._attempts[workload.key] = None
                return refusal
            behaviour = self._behaviours.get(workload.pod) or self._behaviours.get("") or Behaviour()
            job = BatchJob(workload, str(next(self._native_ids)), behaviour, self.clock())
            self._attempts[workload.key] = job
            self.submissions[workload.key] = self.submissions.get(workload.key, 0) + 1
            return job.native_id

    def fence(self, key: str) -> BatchJob | None:
        """Return the job with this key. If there is none, fence the key: no job will ever run with it."""
        with self.lock:
            return self._attempts.setdefault(key, None)

    def look_up(self, ref: JobRef) -> BatchJob | None:
        """Return the job if key and native id match, else None: real sites reuse native ids."""
        with self.lock:
            job = self._attempts.get(ref.key)
            if job is None or ref.native_id not in {"", job.native_id}:
                return None
            job.advance(self.clock())
            return job

    def cancel(self, ref: JobRef) -> None:
        with self.lock:
            job = self.look_up(ref)
            if job is not None:
                code = None if job.phase is Phase.PENDING else 143
                job.end(Phase.CANCELLED, self.clock(), "Cancelled", "Cancelled at the site.", code)

    def forget_events(self, tokens: Collection[str]) -> None:
        with self.lock:
            for token in tokens:
                job = self._attempts.get(token.partition(".")[0])
                if job is not None:
                    job.unrecorded.pop(token, None)

    def remove(self, key: str) -> None:
        with self.lock:
            self._attempts.pop(key, None)
