"""What a site has to run, and what it reports about it. Frozen dataclasses without Django, for every connector."""

from __future__ import annotations

from sites.workload.demand import Demand
from sites.workload.reported import ContainerReport, PartitionReport, Phase, Report
from sites.workload.specification import Container, File, JobRef, Mount, Volume, Workload

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
