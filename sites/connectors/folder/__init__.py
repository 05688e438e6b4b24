"""Attempts in folders at a site (docs/attempt-folder.md): what every connector that runs commands there shares."""

from __future__ import annotations
