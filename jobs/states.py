"""The states of a job and the moves between them. All code uses this table; docs/states.md is drawn from it."""

from __future__ import annotations

from enum import StrEnum

from sites import reasons


class State(StrEnum):
    """What we have decided about a job. (What a site reports is a `sites.workload.Phase`.)"""

    HELD = "held"
    QUEUED = "queued"
    SUBMITTING = "submitting"
    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


ENDS = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
ALIVE = frozenset(State) - ENDS
WAITING = frozenset({State.HELD, State.QUEUED})
AT_SITE = frozenset({State.SUBMITTING, State.PENDING, State.RUNNING})

MOVES: dict[State, frozenset[State]] = {
    State.HELD: frozenset({State.QUEUED, State.FAILED, State.CANCELLED}),
    State.QUEUED: frozenset({State.HELD, State.SUBMITTING, State.FAILED, State.CANCELLED}),
    State.SUBMITTING: frozenset({State.QUEUED, State.PENDING, State.RUNNING}) | ENDS,
    State.PENDING: frozenset({State.RUNNING}) | ENDS,
    State.RUNNING: frozenset({State.PENDING}) | ENDS,
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}

MEANING: dict[State, str] = {
    State.HELD: "accepted; it waits for a worker, for its allocation, or for a site that takes work",
    State.QUEUED: "counted by its allocation; it waits for a worker to submit it",
    State.SUBMITTING: "a worker submits it to the site; the attempt and its key are on record",
    State.PENDING: "the site has it in its queue",
    State.RUNNING: "the site runs it",
    State.SUCCEEDED: "every container ended with 0",
    State.FAILED: "a container failed, the site ended it, or it could not be run",
    State.CANCELLED: "cancelled on request",
}


def diagram() -> str:
    """The table as a Mermaid state diagram."""
    lines = ["stateDiagram-v2", "    [*] --> held"]
    lines += [f"    {old} --> {new}" for old in State for new in State if new in MOVES[old]]
    lines += [f"    {end} --> [*]" for end in State if end in ENDS]
    return "\n".join(lines)


def states_page() -> str:
    """The text of docs/states.md."""
    meanings = "\n".join(f"| `{state}` | {MEANING[state]} |" for state in State)
    return (
        "# States of a job\n\n"
        "Drawn by `manage.py draw_states` from the table in `jobs/states.py`; a test keeps the two the same.\n\n"
        f"```mermaid\n{diagram()}\n```\n\n| state | meaning |\n|---|---|\n{meanings}\n\n"
        "A request to cancel, a site's silence and the reason for waiting are columns of a job, not states.\n\n"
        "## Reasons\n\n"
        "Why a job waits or how it ended, in our own words (`sites/reasons.py`). A site's words stand in the same "
        f"column.\n\n| reason | meaning |\n|---|---|\n{reasons.markdown_rows()}\n"
    )
