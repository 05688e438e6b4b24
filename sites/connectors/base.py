"""The connector contract: how the control plane speaks to a site of any kind.

Every call carries many jobs and has a time-out. A connector uses neither Django nor other connectors. Calls are
idempotent by key and safe to repeat after any crash. A call returns its answer or raises `Unreachable` or `Rejected`,
and nothing else. `tests/sites/connectors/test_contract.py` checks every connector against this contract.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from controlplane.errors import IsthmusError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Self

    from sites.workload import JobRef, PartitionReport, Report, Workload


class Unreachable(IsthmusError):
    """The site did not answer, so it may or may not have carried out the call. No job changes; the caller retries.

    message: one sentence for operators and pod owners that names the system and what happened.
    """

    code = "site_unreachable"


class Rejected(IsthmusError):
    """The site refused, and would refuse the same job again.

    A connector raises it if the site refuses the whole call, and returns it in the answer if the site refuses one job.
    reason: one CamelCase word for the pod's status. message: one sentence that tells the pod's owner what to do.
    """

    code = "site_rejected"

    def __init__(self, message: str, *, reason: str = "SiteRejected") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Absent:
    """The site will never run this attempt, because its folder is fenced. Only this answer permits another attempt."""


@dataclass(frozen=True)
class InDoubt:
    """The site may have started this attempt, or may still start it: call `find` again. message: what is unclear."""

    message: str = ""


ABSENT = Absent()

Submitted = str | Rejected | InDoubt
Found = str | Absent | InDoubt


@dataclass(frozen=True)
class LogRequest:
    """A request for a piece of one container's output: at most `limit` bytes from byte `offset`.

    part: `log` is the output itself. `index` is the file beside it, with lines `<epoch seconds> <size of the log
    then>`.
    """

    ref: JobRef
    container: str
    offset: int = 0
    limit: int = 1_048_576
    part: Literal["log", "index"] = "log"


@dataclass(frozen=True)
class PollAnswer:
    """The answer to one poll. reports: by key; the site does not know a job whose key is missing.

    scheduler_seconds: how long the poll kept the site's scheduler busy, 0 if unknown. The next poll waits for a
    multiple of it.
    """

    reports: Mapping[str, Report]
    scheduler_seconds: float = 0.0


class Connector(ABC):
    """Speaks to one site, in the site's own protocol.

    Threads share an instance, so the results of a call belong in its answer, not in the instance.
    """

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping[str, object], secret: str = "") -> Self:
        """Make a connector from a site's settings, without I/O. Raises `BadConfig`. See sites/connections.py."""

    @classmethod
    @abstractmethod
    def folder_for(cls, config: Mapping[str, object], key: str) -> str:
        """Return the folder at the site for the attempt with this key.

        It follows from the settings alone, without I/O; callers store it with the job and pass it in every `JobRef`.
        Raises `BadConfig`.
        """

    @abstractmethod
    def submit(self, workloads: Sequence[Workload]) -> Mapping[str, Submitted]:
        """Start each workload once, in one round trip. Returns, by key, the native id, `Rejected` or `InDoubt`.

        A key that is missing from the answer is in doubt; after `Unreachable` every key is. A second submission of a
        key never starts a second batch job: it returns `InDoubt`, and the caller uses `find`.
        """

    @abstractmethod
    def find(self, refs: Sequence[JobRef]) -> Mapping[str, Found]:
        """Settle attempts in doubt. Returns, by key, the native id, `ABSENT` (fenced for good) or `InDoubt`."""

    @abstractmethod
    def poll(self, refs: Sequence[JobRef], recorded: Sequence[str] = ()) -> PollAnswer:
        """Fetch the reports of all of a site's jobs in one round trip.

        recorded: the `events` of earlier reports that the caller has stored, so that the site may delete them.
        """

    @abstractmethod
    def cancel(self, refs: Sequence[JobRef]) -> None:
        """Ask the site to end these jobs. A finished or unknown job is not an error; `poll` returns the outcome."""

    @abstractmethod
    def read_logs(self, requests: Sequence[LogRequest]) -> list[bytes | None]:
        """Read pieces of logs, in the order of the requests. None: the log does not exist (not yet, or no longer)."""

    @abstractmethod
    def capacity(self) -> list[PartitionReport]:
        """Return the site's partitions. The call is cheap: probes use it to see whether a silent site answers again."""

    @abstractmethod
    def clean(self, refs: Sequence[JobRef]) -> None:
        """Delete the folders of these ended jobs at the site. It is safe to repeat."""

    @abstractmethod
    def close(self) -> None:
        """Close connections. Jobs continue."""
