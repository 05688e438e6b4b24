"""The REST API of jobs and usage."""

from __future__ import annotations
