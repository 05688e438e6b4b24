"""Answering or silent: the breaker of one site.

It opens at the first call that goes unanswered. While it is open nothing touches the site but a probe, at growing
intervals; every other task asks `answering` first. Silence is a fact about the site and changes no job's state.
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

_TOLD = 500  # characters of an explanation that are kept


def answering() -> QuerySet[Site]:
    """The sites whose breaker is closed, as far as we know."""
    return Site.objects.filter(silent_since__isnull=True)


def silent(site: Site, why: str, *, now: datetime) -> bool:
    """Note that a call had no answer, open the breaker, and set the next probe. True if the site fell silent just now.

    A site that answers its probe and soon fails at its work again goes on where its back-off was: else a full disk
    would open and close the breaker every two seconds.
    """
    with transaction.atomic():
        row = Site.objects.select_for_update().get(pk=site.pk)
        fell = row.silent_since is None
        row.failures = 1 if fell and not _relapses(row, now=now) else row.failures + 1
        row.silent_since = row.silent_since or now
        row.silence = why[:_TOLD]
        row.next_probe_at = now + delay(row.failures)
        row.save(update_fields=["failures", "silent_since", "silence", "next_probe_at"])
    site.refresh_from_db()
    return fell


def told(site: Site) -> str:
    """A sentence for the owners of pods that wait for a silent site; empty while it answers."""
    if site.silent_since is None:
        return ""
    since, why = f"{site.silent_since:%Y-%m-%d %H:%M} UTC", site.silence.rstrip(".")
    return f"{site.name} has not answered since {since} ({why}). The pod starts when it does."


def drained(names: str) -> Waits:
    """What a pod says whose sites, by their names, take no new work."""
    message = f"{names} takes no new work at the moment; the pod starts when it does again."
    return Waits(Reason.SITE_DRAINING, message)


def closed(site: Site) -> Waits | None:
    """Why nothing starts at the site, for any tenant; None while it takes work and answers."""
    if not site.enabled:
        return drained(site.name)
    silence = told(site)
    return Waits(Reason.SITE_SILENT, silence) if silence else None


def _relapses(site: Site, *, now: datetime) -> bool:
    since = site.answering_since
    return since is not None and now - since < timedelta(seconds=settings.RETRY_LONGEST)


def answered(site: Site, *, now: datetime) -> bool:
    """Note an answer, and close the breaker. True if the site had been silent."""
    closed = Site.objects.filter(pk=site.pk, silent_since__isnull=False).update(
        silent_since=None, silence="", next_probe_at=None, answering_since=now, answered_at=now
    )
    if not closed:
        Site.objects.filter(pk=site.pk).update(answered_at=now)
    return bool(closed)


def delay(failures: int) -> timedelta:
    """How long to wait after so many failures in a row (1 is the first): doubling, bounded, and never in step."""
    longest: float = settings.RETRY_LONGEST
    seconds = min(longest, settings.RETRY_FIRST * 2.0 ** min(max(failures, 1) - 1, 30))
    return timedelta(seconds=seconds * random.uniform(0.75, 1.0))  # noqa: S311  (spread, not secrecy)
