"""The work at one site: what is due there, submitted, watched, cancelled and cleaned."""

from __future__ import annotations
