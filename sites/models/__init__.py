"""The tables of sites, partitions, flavors, allocations and routes."""

from __future__ import annotations

from sites.models.allocation import Allocation
from sites.models.flavor import Flavor
from sites.models.route import Route
from sites.models.site import Partition, Site

__all__ = ["Allocation", "Flavor", "Partition", "Route", "Site"]
