"""Hints to workers: sent at once after the commit, and merged."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
import redis
from django.conf import settings
from django.db import transaction

from jobs import nudge, tasks
from jobs.tasks import MERGED_FOR

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db(transaction=True)

SITE = 77_001


@pytest.fixture
def queued() -> Iterator[Queue]:
    with redis.Redis.from_url(settings.REDIS_URL) as client:
        client.delete("celery")
        yield Queue(client)
        client.delete("celery")


class Queue:
    """The messages that no worker has taken yet."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def __call__(self) -> list[tuple[str, str]]:
        """Return (task, arguments) of each message, the oldest first."""
        headers = [json.loads(message)["headers"] for message in self._client.lrange("celery", 0, -1)]
        return [(header["task"], header["argsrepr"]) for header in reversed(headers)]


def test_a_hint_is_sent_at_once(queued: Queue) -> None:
    nudge.nudge("submit", SITE)
    assert queued() == [("jobs.submit", f"[{SITE}]")]


def test_no_hint_is_sent_before_the_commit(queued: Queue) -> None:
    with transaction.atomic():
        nudge.nudge("submit", SITE + 1)
        assert queued() == []
    assert queued() == [("jobs.submit", f"[{SITE + 1}]")]


def test_a_burst_is_one_hint_at_its_beginning_and_one_after_it(queued: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks, "MERGED_FOR", 1.0)  # a slow machine is no reason for a third one
    for _ in range(20):
        nudge.nudge("submit", SITE + 2)
    assert len(queued()) == 1
    time.sleep(2.0)
    assert queued() == [("jobs.submit", f"[{SITE + 2}]")] * 2


def test_other_sites_and_other_work_have_hints_of_their_own(queued: Queue) -> None:
    nudge.nudge("submit", SITE + 3)
    nudge.nudge("submit", SITE + 4)
    nudge.nudge("cancel", SITE + 4)
    assert queued() == [
        ("jobs.submit", f"[{SITE + 3}]"),
        ("jobs.submit", f"[{SITE + 4}]"),
        ("jobs.cancel", f"[{SITE + 4}]"),
    ]


def test_after_the_merge_time_a_new_hint_is_sent(queued: Queue) -> None:
    nudge.nudge("submit", SITE + 5)
    time.sleep(MERGED_FOR * 10)
    nudge.nudge("submit", SITE + 5)
    assert len(queued()) == 2
