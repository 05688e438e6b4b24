"""Keeps the dotted name of the login's backend. Sessions contain it: if it changed, everybody would be logged out."""

from __future__ import annotations

from controlplane.auth.login.backend import IssuerBackend

__all__ = ["IssuerBackend"]
