"""What may be asked of a log: the `Opts` of /getLogs, checked.

Meanings are the kubelet's own (`PodLogOptions` of core/v1); a zero value means unset, as the interLink virtual kubelet
sends it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from controlplane.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Go's zero time.
_NEVER = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LogOptions:
    """Which part of a log, and how.

    tail: only the last lines, None for all; limit: bytes of the answer, the first ones of what the other options leave
    (as the kubelet's limitBytes), None for all; timestamps: each line begins with its time; since: epoch seconds, only
    lines written then or later; follow: go on until the container has ended.
    """

    tail: int | None = None
    limit: int | None = None
    timestamps: bool = False
    since: int | None = None
    follow: bool = False


def parse(opts: object, *, now: datetime) -> LogOptions:
    """The `Opts` object of a request. Raises BadRequest with a sentence. A time to come counts as now."""
    if opts is None:
        return LogOptions()
    if not isinstance(opts, dict):
        raise BadRequest("Opts must be an object of log options.")
    tail, limit, seconds = (_count(opts, name) for name in ("Tail", "Bytes", "SinceSeconds"))
    time = _time(opts, "SinceTime")
    if tail and limit:
        raise BadRequest("Set Tail or Bytes, not both.")
    if seconds and time is not None:
        raise BadRequest("Set SinceSeconds or SinceTime, not both.")
    if _flag(opts, "Previous"):
        raise BadRequest("There is no previous container: a pod runs once here, and its containers are not restarted.")
    present = _epoch(now)
    since = present - seconds if seconds else time
    return LogOptions(
        tail=tail or None,
        limit=limit or None,
        timestamps=_flag(opts, "Timestamps"),
        since=None if since is None else min(since, present),
        follow=_flag(opts, "Follow"),
    )


def _count(opts: Mapping[str, Any], name: str) -> int:
    value = opts.get(name) or 0
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise BadRequest(f"{name} must be a whole number, zero or more.")
    return value


def _flag(opts: Mapping[str, Any], name: str) -> bool:
    value = opts.get(name)
    if value is not None and not isinstance(value, bool):
        raise BadRequest(f"{name} must be true or false.")
    return bool(value)


def _time(opts: Mapping[str, Any], name: str) -> int | None:
    text = opts.get(name) or ""
    try:
        time = datetime.fromisoformat(text) if text else _NEVER
    except (TypeError, ValueError):
        time = None
    if time is None or time.tzinfo is None:
        raise BadRequest(f"{name} must be a time such as 2026-01-31T12:00:00Z.")
    return None if time == _NEVER else _epoch(time)


def _epoch(time: datetime) -> int:
    """Whole seconds, rounded down: an index knows no fractions, and a line must not be lost to one."""
    return (time - _EPOCH) // timedelta(seconds=1)
