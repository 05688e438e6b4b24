"""The people of tests/jobs/api/federation.py."""

from __future__ import annotations

from tests.jobs.api.conftest import federation

__all__ = ["federation"]
