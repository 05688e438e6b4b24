from __future__ import annotations

import pytest
from django.conf import settings

from jobs import states
from jobs.states import ALIVE, ENDS, MOVES, State


def test_the_page_of_states_matches_the_table() -> None:
    page = settings.BASE_DIR / "docs" / "states.md"
    assert page.read_text(encoding="utf-8") == states.states_page(), "Run `manage.py draw_states`."


def test_every_state_has_its_moves_and_its_meaning() -> None:
    assert set(MOVES) == set(states.MEANING) == set(State)


@pytest.mark.parametrize("end", sorted(ENDS))
def test_final_states_have_no_moves(end: State) -> None:
    assert not MOVES[end]


@pytest.mark.parametrize("alive", sorted(ALIVE))
def test_every_live_state_can_be_cancelled_or_fail(alive: State) -> None:
    assert {State.CANCELLED, State.FAILED} <= MOVES[alive]


def test_a_requeued_batch_job_may_wait_again() -> None:
    assert State.PENDING in MOVES[State.RUNNING]


def test_no_job_reaches_a_site_without_a_recorded_submission() -> None:
    ways_in = {old for old in State for new in (State.PENDING, State.RUNNING) if new in MOVES[old]}
    assert ways_in == {State.SUBMITTING, State.PENDING, State.RUNNING}
