"""An imagined site inside of this process, for fast tests."""

from __future__ import annotations
