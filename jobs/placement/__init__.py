"""Decides where a pod can go and why it waits. Reads rows and writes nothing."""

from __future__ import annotations
