"""The yardstick of /status: a WSGI function with the same SELECT and nothing else that a service needs.

It checks no credential and no request, counts nothing and remembers nothing. It reads the database in the same way as
our service; with psycopg's cursors and pool, the usual way, it would be about half as fast.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import django

django.setup()

import orjson  # noqa: E402

from jobs.interlink.status import STATEMENTS  # noqa: E402
from jobs.interlink.status_reader import PodKey, reader  # noqa: E402  (Django first, which knows the database's address)

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

NODE = os.environ["BENCHMARK_NODE"].encode()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answer a request body `[v1.Pod]` with the status text of that pod."""
    (pod,) = orjson.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    (text,) = reader(STATEMENTS).texts([PodKey(NODE, pod["metadata"]["uid"].encode(), b'["main"]')])
    body = b"[" + (text or b"") + b"]"
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
