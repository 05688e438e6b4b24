"""Logs of containers: read with the kubelet's options, followed, and kept after their job.

`reading` answers a request; `window` says where an answer begins and gives lines their times; `text` reads on from
there; `output` knows where the bytes lie; `following` and `feeds` wait for more, while they are `allowed`; `archiving`
stores what must outlast the folder at the site.
"""

from __future__ import annotations

from jobs.logs.allowed import WhileAllowed
from jobs.logs.archiving import archive, forget
from jobs.logs.options import LogOptions, parse
from jobs.logs.reading import LogStream, container_of, open_log

__all__ = ["LogOptions", "LogStream", "WhileAllowed", "archive", "container_of", "forget", "open_log", "parse"]
