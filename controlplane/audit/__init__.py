"""The append-only trail: who did what to which thing, written in the transaction that does it.

`record` is all that the rest of the program needs of it; who acts and on whose request is bound once (actors.py).
"""

from __future__ import annotations
