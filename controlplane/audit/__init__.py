"""The append-only audit trail: who did what to which object, written in the same transaction as the act.

Other packages only call `trail.record`; each request sets its actor once (actors.py).
"""

from __future__ import annotations
