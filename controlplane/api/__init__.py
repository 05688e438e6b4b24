"""The REST API under /api/v1/: what every view shares, and the views of what controlplane owns.

Its errors are RFC 9457 problem documents. A view says which action each of its methods is (controlplane/auth/roles.py)
and is closed without one; what it finds is within the caller's reach for that action, by its own filter and by
PostgreSQL's row security behind it.
"""

from __future__ import annotations
