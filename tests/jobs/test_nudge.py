"""The port for nudges: sent after the commit, by the sender that was set."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.apps import apps
from django.db import transaction

from jobs import nudge, tasks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django import DjangoCaptureOnCommitCallbacks as Commits

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _sent_as_before() -> Iterator[None]:
    yield
    nudge.send_by(tasks.send_hint_merged)


def test_a_nudge_is_sent_after_the_commit(django_capture_on_commit_callbacks: Commits) -> None:
    sent: list[tuple[nudge.Work, int]] = []
    nudge.send_by(lambda work, site_id: sent.append((work, site_id)))
    with django_capture_on_commit_callbacks(execute=True), transaction.atomic():
        nudge.nudge("submit", 7)
        nudge.nudge("cancel", 8)
        assert sent == []
    assert sent == [("submit", 7), ("cancel", 8)]


def test_without_a_sender_nothing_is_sent(
    django_capture_on_commit_callbacks: Commits,
) -> None:
    nudge.send_by(None)
    with django_capture_on_commit_callbacks() as callbacks:
        nudge.nudge("submit", 7)
    assert callbacks == []


def test_the_app_sets_the_sender_when_it_starts(
    django_capture_on_commit_callbacks: Commits,
) -> None:
    nudge.send_by(None)
    apps.get_app_config("jobs").ready()
    with django_capture_on_commit_callbacks() as callbacks:
        nudge.nudge("submit", 7)
    assert len(callbacks) == 1
