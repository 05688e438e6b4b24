"""A simulated site inside this process, for fast tests."""

from __future__ import annotations
