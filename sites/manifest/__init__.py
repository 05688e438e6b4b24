"""Pod -> workload: parses and checks the body of a /create once, and returns `sites.workload` types. Pure.

For a pod that comes without a cluster, `documents` and `bundle` make such a body first.
"""

from __future__ import annotations

from sites.manifest.bundle import completed, create_body
from sites.manifest.documents import read_json, read_yaml
from sites.manifest.pod import PodRequest, parse

__all__ = ["PodRequest", "completed", "create_body", "parse", "read_json", "read_yaml"]
