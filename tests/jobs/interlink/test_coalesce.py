"""Request coalescing: concurrent lookups share one query, and no caller waits for more than one batch."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import Empty
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.interlink.coalesce import Coalescer

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Doubling:
    """Answers each number with its double, one batch at a time, when the test allows it."""

    def __init__(self) -> None:
        self.lots: list[list[int]] = []
        self.may_answer = threading.Event()
        self.fails = False
        self._busy = threading.Lock()

    def __call__(self, questions: Sequence[int]) -> list[int]:
        assert self._busy.acquire(blocking=False), "two batches at once"
        try:
            self.lots.append(list(questions))
            assert self.may_answer.wait(30)
            if self.fails:
                raise RuntimeError("no")
            return [2 * question for question in questions]
        finally:
            self._busy.release()


class Askers:
    """Threads that ask. While answers are blocked, `ask` returns once its numbers are in a batch or in the queue."""

    def __init__(self, together: Coalescer[int, int], pool: ThreadPoolExecutor, doubling: Doubling) -> None:
        self._together, self._pool, self._doubling = together, pool, doubling

    def ask(self, *questions: int, timeout: float = 30) -> Future[Sequence[int] | None]:
        lots, waiting = len(self._doubling.lots), self._together.waiting
        answers = self._pool.submit(self._together.results, questions, timeout=timeout)
        while not (self._doubling.may_answer.is_set() or answers.done()):
            if len(self._doubling.lots) > lots or self._together.waiting > waiting:
                break
            time.sleep(0.001)
        return answers


@contextmanager
def asking(*, most: int = 10) -> Iterator[tuple[Doubling, Askers]]:
    doubling = Doubling()
    with ThreadPoolExecutor(20) as pool:
        try:
            yield doubling, Askers(Coalescer(doubling, most=most), pool, doubling)
        finally:
            doubling.may_answer.set()


def test_a_single_request_is_answered_alone_and_at_once() -> None:
    with asking() as (doubling, askers):
        doubling.may_answer.set()
        assert askers.ask(1, 2).result(30) == [2, 4]
        assert doubling.lots == [[1, 2]]


def test_requests_that_arrive_during_a_batch_form_the_next_one_in_order() -> None:
    with asking() as (doubling, askers):
        futures = [askers.ask(1), askers.ask(2, 3), askers.ask(), askers.ask(4)]
        doubling.may_answer.set()
        assert [future.result(30) for future in futures] == [[2], [4, 6], [], [8]]
        assert doubling.lots == [[1], [2, 3, 4]]


def test_a_batch_is_bounded_and_a_larger_request_goes_alone() -> None:
    with asking(most=3) as (doubling, askers):
        futures = [askers.ask(0), askers.ask(1, 2), askers.ask(3), askers.ask(4, 5, 6, 7), askers.ask(8)]
        doubling.may_answer.set()
        assert [future.result(30) for future in futures] == [[0], [2, 4], [6], [8, 10, 12, 14], [16]]
        assert doubling.lots == [[0], [1, 2, 3], [4, 5, 6, 7], [8]]


def test_a_failed_batch_fails_only_its_leader() -> None:
    with asking() as (doubling, askers):
        first, leader, other = askers.ask(1), askers.ask(2), askers.ask(3)
        doubling.fails = True
        doubling.may_answer.set()
        for future in (first, leader):
            with pytest.raises(RuntimeError):
                future.result(30)
        assert other.result(30) is None
        doubling.fails = False
        assert askers.ask(4).result(30) == [8]


def test_a_request_that_times_out_is_left_out_of_the_next_batch() -> None:
    with asking() as (doubling, askers):
        first = askers.ask(1)
        with pytest.raises(Empty):
            askers.ask(2, timeout=0.01).result(30)
        doubling.may_answer.set()
        assert first.result(30) == [2]
        assert askers.ask(3).result(30) == [6]
        assert doubling.lots == [[1], [3]]


@settings(max_examples=20)
@given(st.lists(st.lists(st.integers(), max_size=4), min_size=1, max_size=60))
def test_under_any_load_each_caller_gets_its_own_answers(asked: list[list[int]]) -> None:
    doubling = Doubling()
    doubling.may_answer.set()
    together = Coalescer(doubling, most=5)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda questions: together.results(questions, timeout=30), asked))
    assert answers == [[2 * question for question in questions] for questions in asked]
