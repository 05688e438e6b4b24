"""Asking a site what it offers: each minute for its partitions, and to learn whether a silent one answers again."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from jobs.silence import speaking_to
from sites import capacity
from sites.models import Site

if TYPE_CHECKING:
    from datetime import datetime


def is_due(site: Site, *, now: datetime) -> bool:
    """A silent site is asked when its probe is due, an answering one when its capacity is old."""
    return (site.next_probe_at or site.next_capacity_at) <= now


def probe_due(site: Site) -> bool:
    """Ask for the site's partitions and write them down. The one call that a silent site still gets."""
    if not is_due(site, now=timezone.now()):
        return False
    with speaking_to(site) as connector:
        partitions = connector.capacity()
    now = timezone.now()
    capacity.record(site, partitions, now=now)
    Site.objects.filter(pk=site.pk).update(next_capacity_at=now + timedelta(seconds=settings.CAPACITY_EVERY))
    return True
