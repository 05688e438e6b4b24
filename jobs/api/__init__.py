"""The REST API of jobs and of usage."""

from __future__ import annotations
