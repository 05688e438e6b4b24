"""The REST API under /api/v1/: what all views share, and the views of the objects that controlplane owns.

Errors are RFC 9457 problem documents. A view names the action of each of its methods (controlplane/auth/roles.py);
a method without an action is refused to everybody. A view finds only rows within the caller's reach for that action:
the view filters first, and PostgreSQL's row security is a second check.
"""

from __future__ import annotations
