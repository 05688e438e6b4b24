"""Attempts in folders at a site (docs/attempt-folder.md), for every connector that runs commands there."""

from __future__ import annotations
