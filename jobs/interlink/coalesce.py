"""Questions that go together: while one lot is on its way, those that come meanwhile gather, and are the next lot.

A thread that asks while nobody else does goes alone and at once; under load one round trip to the database serves many
requests. Going there and being woken up again costs several times as much as the answer.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, field
from itertools import chain
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Question = TypeVar("Question")
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class _Lead(Generic[Question, Answer]):
    """The leave to ask, for oneself and for these others."""

    others: Sequence[_Asker[Question, Answer]] = ()


@dataclass(frozen=True)
class _Told(Generic[Answer]):
    """What another one has asked for us; None where that failed."""

    answers: Sequence[Answer] | None


@dataclass(eq=False)
class _Asker(Generic[Question, Answer]):
    questions: Sequence[Question]
    turn: SimpleQueue[_Lead[Question, Answer] | _Told[Answer]] = field(default_factory=SimpleQueue)


class Together(Generic[Question, Answer]):
    """`ask` gives the answers to questions, in their order. It is never called twice at once.

    most: how many questions go together. One asker with more than these goes alone.
    """

    def __init__(self, ask: Callable[[Sequence[Question]], Sequence[Answer]], *, most: int) -> None:
        self._ask = ask
        self._most = most
        self._mutex = threading.Lock()
        self._is_under_way = False
        self._waiting: deque[_Asker[Question, Answer]] = deque()

    def answers(self, questions: Sequence[Question], *, timeout: float) -> Sequence[Answer] | None:
        """An answer to each question. Raises what `ask` raises; None where it did so to another who asked for us.

        Raises queue.Empty where the questions are not under way after `timeout` seconds.
        """
        turn = self._turn(_Asker(questions), timeout)
        if isinstance(turn, _Told):
            return turn.answers
        answers: Sequence[Answer] | None = None
        try:
            answers = self._ask([*questions, *chain.from_iterable(other.questions for other in turn.others)])
        finally:
            self._pass_on()
            _tell(turn.others, answers, start=len(questions))
        return answers[: len(questions)]

    @property
    def waiting(self) -> int:
        """How many askers wait for the next lot."""
        return len(self._waiting)

    def _turn(self, me: _Asker[Question, Answer], timeout: float) -> _Lead[Question, Answer] | _Told[Answer]:
        with self._mutex:
            if not self._is_under_way:
                self._is_under_way = True
                return _Lead()
            self._waiting.append(me)
        try:
            return me.turn.get(timeout=timeout)
        except Empty:
            with self._mutex:
                if me in self._waiting:
                    self._waiting.remove(me)
                    raise
            return me.turn.get()  # it went under way at the last moment

    def _pass_on(self) -> None:
        """Whoever has waited longest leads, and takes along those behind."""
        with self._mutex:
            if not self._waiting:
                self._is_under_way = False
                return
            leader = self._waiting.popleft()
            others, room = [], self._most - len(leader.questions)
            while self._waiting and (room := room - len(self._waiting[0].questions)) >= 0:
                others.append(self._waiting.popleft())
        leader.turn.put(_Lead(others))


def _tell(others: Sequence[_Asker[Question, Answer]], answers: Sequence[Answer] | None, *, start: int) -> None:
    """Each its own part of the answers."""
    for other in others:
        end = start + len(other.questions)
        other.turn.put(_Told(None if answers is None else answers[start:end]))
        start = end
