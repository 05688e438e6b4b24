"""The connector for Slurm, which uses Slurm's own commands."""

from __future__ import annotations
