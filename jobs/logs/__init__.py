"""Logs of containers: read with the kubelet's options, followed, and kept after their job.

`reading` answers a request; `text` says where an answer begins and gives lines their times; `output` knows where the
bytes are; `following` and `feeds` wait for more; `archiving` stores what must outlast the folder at the site.
"""

from __future__ import annotations

from jobs.logs.archiving import archive, forget
from jobs.logs.reading import LogStream, container_of, open_log, parse_options
from jobs.logs.text import LogOptions

__all__ = ["LogOptions", "LogStream", "archive", "container_of", "forget", "open_log", "parse_options"]
