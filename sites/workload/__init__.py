"""What a site is asked to run, and what it says about it. Frozen, free of Django, known to every connector."""

from __future__ import annotations

from sites.workload.asked import Container, File, JobRef, Mount, Volume, Workload
from sites.workload.demand import Demand
from sites.workload.reported import ContainerReport, PartitionReport, Phase, Report

__all__ = [
    "Container",
    "ContainerReport",
    "Demand",
    "File",
    "JobRef",
    "Mount",
    "PartitionReport",
    "Phase",
    "Report",
    "Volume",
    "Workload",
]
