"""Slurm, by its own commands."""

from __future__ import annotations
