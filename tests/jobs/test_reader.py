"""The connections of /status are lent in turn."""

from __future__ import annotations

import threading
import time
from queue import Empty
from typing import Any, cast

import pytest

from jobs.interlink.reader import Turns


def connection(name: str) -> Any:
    """Turns never look at what they lend."""
    return cast("Any", name)


def test_who_waits_longest_is_served_first() -> None:
    turns = Turns(1)
    assert turns.get(timeout=1) is None
    served: list[str] = []

    def wait(name: str) -> None:
        turns.get(timeout=10)
        served.append(name)
        turns.put(connection("the only one"))

    waiting = []
    for name in ("first", "second", "third"):
        waiting.append(threading.Thread(target=wait, args=(name,)))
        waiting[-1].start()
        while turns.waiting < len(waiting):
            time.sleep(0.001)
    turns.put(connection("the only one"))
    for thread in waiting:
        thread.join()
    assert served == ["first", "second", "third"]


def test_a_wait_in_vain_ends_and_takes_nobody_elses_turn() -> None:
    turns = Turns(1)
    turns.get(timeout=1)
    with pytest.raises(Empty):
        turns.get(timeout=0.01)
    assert turns.waiting == 0
    one = connection("one")
    turns.put(one)
    assert turns.get(timeout=1) is one


def test_what_is_taken_away_leaves_the_leave_to_make_another() -> None:
    turns = Turns(2)
    turns.get(timeout=1)
    one = connection("one")
    turns.put(one)
    assert turns.take_free() == [one]
    assert [turns.get(timeout=1), turns.get(timeout=1)] == [None, None]
