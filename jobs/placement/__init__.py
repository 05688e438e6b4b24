"""Where a pod can go, and why it waits. Reads and answers; writes nothing."""

from __future__ import annotations
