"""How the control plane speaks to sites: `base` is the contract, `registry` the list of kinds, a folder for each."""

from __future__ import annotations
