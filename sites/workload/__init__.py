"""What a site is asked to run, and what it says about it. Frozen, free of Django, known to every connector."""

from __future__ import annotations

from sites.workload.asked import Container, File, JobRef, Mount, NativeFlags, Resources, Volume, Workload
from sites.workload.reported import ContainerReport, PartitionReport, Phase, Report

__all__ = [
    "Container",
    "ContainerReport",
    "File",
    "JobRef",
    "Mount",
    "NativeFlags",
    "PartitionReport",
    "Phase",
    "Report",
    "Resources",
    "Volume",
    "Workload",
]
