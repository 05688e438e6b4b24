"""Periodic work over all rows."""

from __future__ import annotations
