"""The REST API of sites, allocations, requests, virtual nodes and role grants."""

from __future__ import annotations
