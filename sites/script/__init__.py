"""Workload -> batch script, for each container runtime. Pure: no I/O, no Django."""

from __future__ import annotations

from sites.script.render import Staged, render
from sites.script.runtime import Runtime, RuntimeKind

__all__ = ["Runtime", "RuntimeKind", "Staged", "render"]
