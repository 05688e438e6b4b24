"""The circuit breaker of a site, kept in the site's row.

It opens at the first call without an answer. While it is open, only probes call the site, with a growing back-off;
every other task checks `answering` first. A silent site changes no job's state.
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from sites.models import Site
from sites.reasons import Reason, Waits

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

_LONGEST = 500  # characters of an explanation that are kept


def answering() -> QuerySet[Site]:
    """Return the sites whose circuit breaker is closed."""
    return Site.objects.filter(silent_since__isnull=True)


def silent(site: Site, why: str, *, now: datetime) -> bool:
    """Record a call without an answer: open the breaker and set the next probe. Returns whether it was closed before.

    A site that fails again soon after its silence keeps its back-off: otherwise a full disk, where probes succeed and
    jobs do not, would open and close the breaker every two seconds.
    """
    with transaction.atomic():
        row = Site.objects.select_for_update().get(pk=site.pk)
        fell = row.silent_since is None
        longest = timedelta(seconds=settings.RETRY_LONGEST)
        relapses = row.answering_since is not None and now - row.answering_since < longest
        row.failures = 1 if fell and not relapses else row.failures + 1
        row.silent_since = row.silent_since or now
        row.silence = why[:_LONGEST]
        row.next_probe_at = now + delay(row.failures)
        row.save(update_fields=["failures", "silent_since", "silence", "next_probe_at"])
    site.refresh_from_db()
    return fell


def silence_message(site: Site) -> str:
    """Return a sentence for the owners of pods that wait for a silent site; empty while the site answers."""
    if site.silent_since is None:
        return ""
    since, why = f"{site.silent_since:%Y-%m-%d %H:%M} UTC", site.silence.rstrip(".")
    return f"{site.name} has not answered since {since} ({why}). The pod starts when it does."


def drained(names: str) -> Waits:
    """Return the reason and message for a pod whose sites take no new work. names: the names of those sites."""
    message = f"{names} takes no new work at the moment; the pod starts when it does again."
    return Waits(Reason.SITE_DRAINING, message)


def closed(site: Site) -> Waits | None:
    """Return why the site starts no job of any tenant; None while it is enabled and answers."""
    if not site.enabled:
        return drained(site.name)
    silence = silence_message(site)
    return Waits(Reason.SITE_SILENT, silence) if silence else None


def answered(site: Site, *, now: datetime) -> bool:
    """Record an answer and close the breaker. Returns whether the site was silent before."""
    closed = Site.objects.filter(pk=site.pk, silent_since__isnull=False).update(
        silent_since=None, silence="", next_probe_at=None, answering_since=now, answered_at=now
    )
    if not closed:
        Site.objects.filter(pk=site.pk).update(answered_at=now)
    return bool(closed)


def delay(failures: int) -> timedelta:
    """Return the back-off after this many failures in a row (1 is the first): doubled, bounded, and with jitter."""
    longest: float = settings.RETRY_LONGEST
    seconds = min(longest, settings.RETRY_FIRST * 2.0 ** min(max(failures, 1) - 1, 30))
    return timedelta(seconds=seconds * random.uniform(0.75, 1.0))  # noqa: S311  (spread, not secrecy)
