"""What a process remembers: bounded, each value until its deadline, cleared by one call and by a fork."""

from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controlplane import remembered
from controlplane.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

FORKS = """
import os
from controlplane.remembered import Remembered
names, left = Remembered(at_most=10), []
names.put("vega", "Vega", seconds=60)
names._writing.acquire()  # as another thread would hold it at the moment of the fork
if os.fork() == 0:
    forgotten = names.get("vega") is None
    names.put("vega", "Vega", seconds=60)
    os._exit(0 if forgotten and names.get("vega") == "Vega" else 1)
assert names.get("vega") == "Vega"
raise SystemExit(os.waitstatus_to_exitcode(os.wait()[1]))
"""


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """A function that sets the clock to this many seconds after the start of the test."""
    began = time.monotonic()
    now = [began]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def turn(seconds: float) -> None:
        now[0] = began + seconds

    return turn


@pytest.fixture
def _as_before() -> Iterator[None]:
    """Remove what a test registers."""
    before = list(remembered._registered)
    yield
    remembered._registered[:] = before


def test_each_value_is_returned_until_its_own_deadline(later: Callable[[float], None]) -> None:
    names: Remembered[str, str] = Remembered(at_most=10)
    names.put("vega", "Vega", seconds=5)
    names.put("leo", "Leonardo", seconds=10)
    later(4.9)
    assert (names.get("vega"), names.get("leo"), names.get("lumi")) == ("Vega", "Leonardo", None)
    later(5)
    assert (names.get("vega"), names.get("leo")) == (None, "Leonardo")
    assert names.get_even_late("vega") == "Vega"


def test_a_replaced_value_has_the_new_deadline(later: Callable[[float], None]) -> None:
    names: Remembered[str, str] = Remembered(at_most=1)
    names.put("vega", "Vega", seconds=60)
    names.put("vega", "Vega", seconds=0)
    assert names.get("vega") is None
    names.put("vega", "Vega II", seconds=60)
    later(59)
    assert names.get("vega") == "Vega II"


def test_a_dropped_value_is_gone_and_the_others_stay() -> None:
    names: Remembered[str, str] = Remembered(at_most=10)
    names.put("vega", "Vega", seconds=60)
    names.put("leo", "Leonardo", seconds=60)
    names.drop("vega")
    names.drop("nobody")
    assert (names.get_even_late("vega"), names.get("leo")) == (None, "Leonardo")


def test_values_past_their_deadline_are_removed_first(later: Callable[[float], None]) -> None:
    squares: Remembered[int, int] = Remembered(at_most=10)
    for number in range(10):
        squares.put(number, number**2, seconds=1 if number % 2 else 60)
    later(30)
    squares.put(10, 100, seconds=60)
    assert [squares.get(number) for number in (0, 1, 8, 9, 10)] == [0, None, 64, None, 100]
    assert len(squares) == 6


@given(st.lists(st.tuples(st.integers(0, 30), st.floats(-1, 1000)), max_size=60), st.integers(1, 8))
def test_there_are_never_more_values_than_allowed_and_the_latest_is_kept(
    puts: list[tuple[int, float]], at_most: int
) -> None:
    memory: Remembered[int, float] = Remembered(at_most=at_most)
    for key, seconds in puts:
        memory.put(key, seconds, seconds=seconds)
        assert len(memory) <= at_most
        assert memory.get_even_late(key) == seconds


def test_threads_can_share_a_full_memory() -> None:
    memory: Remembered[int, int] = Remembered(at_most=50)

    def work(start: int) -> bool:
        for number in range(start, start + 3000):
            memory.put(number % 120, number % 120, seconds=0.0001 if number % 3 else 60)
        return all(memory.get_even_late(key) in {key, None} for key in range(120))

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(work, range(8)))
    assert len(memory) <= 50


@pytest.mark.usefixtures("_as_before")
def test_everything_is_forgotten_in_one_call() -> None:
    kept = {"vega": 1}
    names: Remembered[str, str] = Remembered(at_most=10)
    names.put("vega", "Vega", seconds=60)
    remembered.registered(kept.clear)
    remembered.forget_everything()
    assert names.get_even_late("vega") is None
    assert kept == {}


def test_a_forked_child_starts_empty_whatever_its_parents_threads_were_doing() -> None:
    subprocess.run([sys.executable, "-c", FORKS], check=True, timeout=20)
