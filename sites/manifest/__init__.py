"""Pod -> workload: the body of a /create, read once, checked, and kept as `sites.workload` types. Pure."""

from __future__ import annotations

from sites.manifest.completing import completed
from sites.manifest.demand import Demand, demand
from sites.manifest.pod import PodRequest, parse

__all__ = ["Demand", "PodRequest", "completed", "demand", "parse"]
