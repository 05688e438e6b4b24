"""Sends pods through the interLink wire as fast as a few clients can, without the cost of a kubelet."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from itertools import chain
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = dict[str, Any]


@dataclass(frozen=True)
class Clients:
    """Clients of one virtual node. They use http.client, because other libraries cost more than a create does."""

    url: str
    token: str
    count: int

    def create(self, pods: Sequence[Json]) -> None:
        """Send every pod, each client over its own connection. Raises an error unless all answers are 200."""
        bodies = [json.dumps({"pod": pod, "configmaps": None, "secrets": None, "jobscriptURL": ""}) for pod in pods]
        with ThreadPoolExecutor(self.count) as pool:
            answers = list(chain(*pool.map(self._send, (bodies[start :: self.count] for start in range(self.count)))))
        if refused := [answer for answer in answers if answer[0] != 200]:
            raise RuntimeError(
                f"{len(refused)} of {len(bodies)} creates were not answered with 200; the first: {refused[0]}"
            )

    def _send(self, bodies: Sequence[str]) -> list[tuple[int, bytes]]:
        address = urlsplit(self.url)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        answers = []
        with closing(HTTPConnection(address.netloc, timeout=120)) as connection:
            for body in bodies:
                connection.request("POST", f"{address.path}/create", body, headers)
                response = connection.getresponse()
                answers.append((response.status, response.read()))
        return answers
