"""The health check of containers that serve no HTTP."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from jobs.models import Heartbeat

pytestmark = pytest.mark.django_db


def test_a_task_that_ran_recently_is_healthy() -> None:
    Heartbeat.beat("tick")
    call_command("check_heartbeat", "tick", within=60)


def test_a_task_that_stopped_is_reported_with_its_age() -> None:
    Heartbeat.objects.create(name="tick", at=timezone.now() - timedelta(seconds=90))
    with pytest.raises(CommandError, match="'tick' last ran 90 seconds ago"):
        call_command("check_heartbeat", "tick", within=60)


def test_a_task_that_never_ran_is_not_healthy() -> None:
    with pytest.raises(CommandError, match="'tock' has never run"):
        call_command("check_heartbeat", "tock")
