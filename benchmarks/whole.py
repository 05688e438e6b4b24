"""The whole control plane as processes, with one site and one virtual node, for the time of a benchmark."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.kills.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.sites import BenchmarkSite

PROCESSES = ("web", "worker", "beat")


@dataclass(frozen=True)
class Whole:
    """url, token: of the virtual node."""

    stack: Stack
    site: BenchmarkSite
    url: str
    token: str


@contextmanager
def whole_stack(site_in: Callable[[Path], BenchmarkSite]) -> Iterator[Whole]:
    """Start the stack with production settings and data on disk. site_in: makes the site in a given folder."""
    with tempfile.TemporaryDirectory(prefix="isthmus-benchmark-") as name:
        folder = Path(name)
        folder.chmod(0o711)  # as root, the servers' user must be able to reach its own folder in it
        site = site_in(folder / "site")
        with Stack(folder, {"ISTHMUS_LOG_LEVEL": "WARNING"}) as stack:
            stack.manage("manage.py", "prepare_database")
            node = stack.seed(site.row())
            for process in PROCESSES:
                stack.start(process)
            stack.wait_until_up()
            yield Whole(stack, site, f"{stack.url}/vk/{node['slug']}", node["token"])
