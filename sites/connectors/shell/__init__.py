"""Runs small shell programs at a site, on this host or over SSH."""

from __future__ import annotations
