"""Periodic work over the rows of all sites."""

from __future__ import annotations
