"""The columns of a job that `lifecycle.py` may change. mypy checks what its callers pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from datetime import datetime


class Changes(TypedDict, total=False):
    """Columns that a move may change beside the state. The status texts and `changed_at` follow.

    A new column is one line here; it must be a column of `Job`, with a type that fits it (tests/jobs/test_writers.py).
    """

    site_id: int | None
    allocation_id: int | None
    demand: dict[str, Any] | None
    cpus: int
    memory: int
    gpus: int
    gpu_kind: str
    flavor: str
    partition: str
    time_limit: int | None
    reserved_cpu_seconds: int
    reserved_gpu_seconds: int
    priority: int
    reason: str
    message: str
    observed: dict[str, dict[str, Any]]
    exit_code: int | None
    attempt: int
    attempt_key: str
    folder: str
    account: str
    native_id: str
    submitted_at: datetime | None
    started_at: datetime | None
    ended_at: datetime | None
    cancel_requested_at: datetime | None
    cancel_reason: str
    missing_since: datetime | None
    lost_at: datetime | None
    tries: int
    next_start_at: datetime | None
    next_submit_at: datetime | None
    next_find_at: datetime | None
    next_cancel_at: datetime | None


class QuietChanges(TypedDict, total=False):
    """Columns that may change in any state, ended ones too: no status text and no answer of the API shows them."""

    deleted_at: datetime | None
    tries: int
    next_archive_at: datetime | None
    next_clean_at: datetime | None
