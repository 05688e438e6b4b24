"""How the control plane speaks to sites: `base` is the contract, `registry` lists the kinds, each kind has a folder."""

from __future__ import annotations
