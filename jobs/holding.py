"""Held jobs: placing them once something takes them, and taking back what a drained site has not begun."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs import lifecycle, nudge
from jobs.models import Job
from jobs.placement import Placed
from jobs.routing import destination
from jobs.states import State

if TYPE_CHECKING:
    from datetime import datetime


def place_held(*, now: datetime) -> int:
    """Place what can be placed, and tell the others why they still wait. The number placed."""
    nodes = Job.objects.filter(state=State.HELD).order_by().values_list("node_id", flat=True).distinct()
    return sum(_place(node_id, now=now) for node_id in list(nodes))


def hold_drained(*, now: datetime) -> int:
    """Take back the queued jobs of sites that take no new work: another site may have them, or this one, later."""
    drained = Job.objects.filter(state=State.QUEUED, site__enabled=False)
    # An attempt of theirs that was fenced is listed as abandoned; without a site the job has nothing left to clean.
    nothing_due = {"site_id": None, "next_submit_at": None, "attempt_key": "", "folder": "", "reason": "SiteDraining"}
    taken = lifecycle.move_all(drained, to=State.HELD, changes=nothing_due, now=now)
    return len(taken)


def _place(node_id: int, *, now: datetime) -> int:
    answer = destination(node_id)
    held = Job.objects.filter(node_id=node_id, state=State.HELD)
    if not isinstance(answer, Placed):
        untold = held.exclude(reason=answer.reason, message=answer.message)
        lifecycle.move_all(untold, changes={"reason": answer.reason, "message": answer.message}, now=now)
        return 0
    due = {"site_id": answer.site_id, "next_submit_at": now, "reason": answer.reason, "message": answer.message}
    placed = lifecycle.move_all(held, to=State.QUEUED, changes=due, now=now)
    nudge.nudge("submit", answer.site_id)
    return len(placed)
