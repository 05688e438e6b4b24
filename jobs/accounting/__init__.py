"""Counts what jobs use of each allocation, and records what they used."""

from __future__ import annotations
