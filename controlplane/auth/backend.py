"""The address of the login's backend, which every session holds: with another one everybody would be logged out."""

from __future__ import annotations

from controlplane.auth.login.backend import IssuerBackend

__all__ = ["IssuerBackend"]
