"""Pod -> workload: the body of a /create, read once, checked, and kept as `sites.workload` types. Pure.

A pod that was sent without a cluster becomes such a body first: `documents` and `bundle`.
"""

from __future__ import annotations

from sites.manifest.bundle import completed, create_body
from sites.manifest.documents import read_json, read_yaml
from sites.manifest.pod import PodRequest, parse

__all__ = ["PodRequest", "completed", "create_body", "parse", "read_json", "read_yaml"]
