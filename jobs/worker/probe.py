"""Asks a site for its partitions every CAPACITY_EVERY seconds, and whether it answers again while it is silent."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from jobs.worker.contact import speaking_to
from sites.models import Partition, Site

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sites.workload import PartitionReport

_REPORTED = ["nodes", "cpus", "memory", "gpus", "time_limit", "default", "up", "seen_at"]


def is_due(site: Site, *, now: datetime) -> bool:
    """Whether to ask now: a silent site when its probe is due, an answering one when its capacity is old."""
    return (site.next_probe_at or site.next_capacity_at) <= now


def probe_due(site: Site) -> bool:
    """Asks for the site's partitions and stores them. Returns False when it was not due.

    This is the only call to a silent site. Raises Unreachable when the site did not answer.
    """
    if not is_due(site, now=timezone.now()):
        return False
    with speaking_to(site) as connector:
        partitions = connector.capacity()
    now = timezone.now()
    record_partitions(site, partitions, now=now)
    Site.objects.filter(pk=site.pk).update(next_capacity_at=now + timedelta(seconds=settings.CAPACITY_EVERY))
    return True


def record_partitions(site: Site, reports: Iterable[PartitionReport], *, now: datetime) -> None:
    """Stores the partitions that the site reports, and deletes those that it no longer reports."""
    rows = [_row(site, report, now=now) for report in reports]
    with transaction.atomic():
        Partition.objects.bulk_create(
            rows, update_conflicts=True, unique_fields=["site", "name"], update_fields=_REPORTED
        )
        Partition.objects.filter(site=site).exclude(name__in=[row.name for row in rows]).delete()


def _row(site: Site, report: PartitionReport, *, now: datetime) -> Partition:
    return Partition(
        site=site,
        name=report.name,
        nodes=report.nodes,
        cpus=report.cpus,
        memory=report.memory,
        gpus=dict(report.gpus),
        time_limit=report.time_limit,
        default=report.default,
        up=report.up,
        seen_at=now,
    )
