"""The work at one site: finds what is due, starts, submits, polls, cancels and cleans."""

from __future__ import annotations
