"""The REST API for people and programs, under /api/v1/. Its errors are RFC 9457 problem documents.

A view says which action each of its methods is (controlplane/auth/roles.py) and is closed without one; what it finds is
within the caller's reach for that action, by its own filter and by PostgreSQL's row security behind it.
"""

from __future__ import annotations
