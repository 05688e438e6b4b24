"""What is in use of each allocation, and what was used."""

from __future__ import annotations
