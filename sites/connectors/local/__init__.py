"""The connector for this host, without a scheduler."""

from __future__ import annotations
