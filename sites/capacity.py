"""A site's partitions as it described them last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from sites.models import Partition

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from sites.models import Site
    from sites.workload import PartitionReport

_TOLD = ["nodes", "cpus", "memory", "gpus", "time_limit", "default", "up", "seen_at"]


def record(site: Site, reports: Iterable[PartitionReport], *, now: datetime) -> None:
    """Make the site's rows say what it has just said; a partition that it no longer names goes."""
    rows = [_row(site, report, now=now) for report in reports]
    with transaction.atomic():
        Partition.objects.bulk_create(rows, update_conflicts=True, unique_fields=["site", "name"], update_fields=_TOLD)
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
