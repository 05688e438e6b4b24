"""`manage.py reseal`: after it, the old key can be removed."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command

from controlplane import secrets
from controlplane.audit.models import Event
from jobs import payload
from jobs.models import Job
from sites import connections
from tests.factories import make_job, make_request, make_site

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _fresh_ring() -> Iterator[None]:
    secrets.key_ring.cache_clear()
    yield
    secrets.key_ring.cache_clear()


def test_everything_opens_with_only_the_new_key(settings: Any) -> None:
    _ring(settings, "old")
    request, site = make_request(), make_site()
    job = make_job(request=request, site=site)
    connections.seal_credential(site, "a private key")
    site.save()
    _ring(settings, "new", "old")
    before = set(Event.objects.values_list("pk", flat=True))
    call_command("reseal", verbosity=0)
    told = Event.objects.exclude(pk__in=before).order_by("id").values_list("verb", "changes")
    assert list(told) == [("secrets.reseal", {"requests": 1}), ("secrets.reseal", {"credentials": 1})]
    _ring(settings, "new")
    assert payload.read_request(Job.objects.get(pk=job.pk))["pod"] == request["pod"]
    site.refresh_from_db()
    assert connections.credential(site) == "a private key"


def test_a_second_run_changes_nothing(settings: Any) -> None:
    _ring(settings, "new")
    job = make_job()
    call_command("reseal", verbosity=0)
    assert bytes(Job.objects.get(pk=job.pk).request or b"") == job.request


def test_a_value_that_no_key_opens_is_reported_and_stops_nothing_else(settings: Any) -> None:
    _ring(settings, "lost")
    make_job(pod_name="gone", pod_namespace="research")
    _ring(settings, "old")
    other = make_job()
    _ring(settings, "new", "old")
    with pytest.raises(CommandError, match="research/gone"):
        call_command("reseal", verbosity=0)
    _ring(settings, "new")
    assert payload.read_request(Job.objects.get(pk=other.pk))


def _ring(settings: Any, *names: str) -> None:
    settings.ENCRYPTION_KEYS = [f"{name}:{base64.b64encode(name.encode().ljust(32)).decode()}" for name in names]
    secrets.key_ring.cache_clear()
