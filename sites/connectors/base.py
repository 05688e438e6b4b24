"""The connector contract: how the control plane speaks to a site, whatever runs there.

Every call carries many jobs and has a time-out. A connector knows neither Django nor other connectors. Calls are
idempotent by key and safe to repeat after any crash. What leaves a call is its answer, `Unreachable` or `Rejected`:
nothing else. `tests/sites/connectors/test_contract.py` holds every connector to this page.
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
    """No answer: the site may or may not have done what was asked. Changes nothing about any job; ask again later.

    `message` is one sentence for operators and pod owners: which site system, what happened.
    """

    code = "site_unreachable"


class Rejected(IsthmusError):
    """The site answered, and the answer is no: the same job would be refused again.

    Raised when a whole call is refused, returned in an answer when one job is. `reason` is one CamelCase word for the
    pod's status, `message` one sentence its owner can act on.
    """

    code = "site_rejected"

    def __init__(self, message: str, *, reason: str = "SiteRejected") -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Absent:
    """The site will never run this attempt: its folder is fenced. Only this permits another attempt."""


@dataclass(frozen=True)
class InDoubt:
    """The site may have started this attempt, or may still. Ask `find` again; `message` says what is unclear."""

    message: str = ""


ABSENT = Absent()

Submitted = str | Rejected | InDoubt
Found = str | Absent | InDoubt


@dataclass(frozen=True)
class LogRequest:
    """A piece of one container's output: at most `limit` bytes from byte `offset`.

    part: `log` is the output itself; `index` the list of `<epoch seconds> <size of the log then>` lines beside it.
    """

    ref: JobRef
    container: str
    offset: int = 0
    limit: int = 1_048_576
    part: Literal["log", "index"] = "log"


@dataclass(frozen=True)
class PollAnswer:
    """What one poll brought. reports: by key; a key that is absent from them is "not known".

    scheduler_seconds: for how long the poll kept the site's scheduler at work, 0 where that is not known. The site is
    left alone for a multiple of it.
    """

    reports: Mapping[str, Report]
    scheduler_seconds: float = 0.0


class Connector(ABC):
    """One site, spoken to in its own protocol.

    Threads share an instance: what is true of one call goes into its answer.
    """

    @classmethod
    @abstractmethod
    def from_config(cls, config: Mapping[str, object], secret: str = "") -> Self:
        """Makes one from a site's settings, without I/O. Raises `BadConfig`. See `sites.connections.open_connector`."""

    @classmethod
    @abstractmethod
    def folder_for(cls, config: Mapping[str, object], key: str) -> str:
        """Where the attempt with this key will live at the site: kept with the job, and given back in every `JobRef`.

        Decided from the settings alone, before anything is said to the site. Raises `BadConfig`.
        """

    @abstractmethod
    def submit(self, workloads: Sequence[Workload]) -> Mapping[str, Submitted]:
        """Start each workload once, in one round trip; answer by key.

        A key missing from the answer is in doubt. Submitting a key again never starts a second batch job: it answers
        `InDoubt` (ask `find`). `Unreachable` leaves every key in doubt.
        """

    @abstractmethod
    def find(self, refs: Sequence[JobRef]) -> Mapping[str, Found]:
        """Settle attempts whose `submit` was not answered: the native id, `ABSENT` (fenced for good), or `InDoubt`."""

    @abstractmethod
    def poll(self, refs: Sequence[JobRef], recorded: Sequence[str] = ()) -> PollAnswer:
        """Ask after all of a site's jobs in one round trip.

        recorded: the `events` of earlier reports that have been written down, so that the site may forget them.
        """

    @abstractmethod
    def cancel(self, refs: Sequence[JobRef]) -> None:
        """End these jobs. A job that is finished or unknown is no error; `poll` tells the outcome."""

    @abstractmethod
    def read_logs(self, requests: Sequence[LogRequest]) -> list[bytes | None]:
        """Read pieces of logs, in the order asked. None: there is no such log (not yet, or no longer)."""

    @abstractmethod
    def capacity(self) -> list[PartitionReport]:
        """The site's partitions. Cheap; also used to probe whether a silent site answers again."""

    @abstractmethod
    def clean(self, refs: Sequence[JobRef]) -> None:
        """Remove what these ended jobs left at the site. Repeating it is no error."""

    @abstractmethod
    def close(self) -> None:
        """Let go of connections. Jobs go on."""
