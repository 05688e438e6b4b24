"""Calls to the whole WSGI application in this process: the handler of /status and everything behind it."""

from __future__ import annotations

import io
import json
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.core.signals import request_finished, request_started
from django.db import close_old_connections

from controlplane.wsgi import application

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()


def call(
    method: str, path: str, body: Any = None, *, token: str | None = None, headers: dict[str, str] | None = None
) -> Answer:
    """Send one request; `path` may have a query. `body` is sent unchanged if bytes, else as JSON."""
    sent = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path.partition("?")[0],
        "SCRIPT_NAME": "",
        "QUERY_STRING": path.partition("?")[2],
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "CONTENT_LENGTH": str(len(sent)),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(sent),
    }
    if token is not None:
        environ["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    for name, value in (headers or {}).items():
        known = name.upper().replace("-", "_")
        environ[known if known in {"CONTENT_LENGTH", "CONTENT_TYPE"} else f"HTTP_{known}"] = value
    began: list[tuple[str, list[tuple[str, str]]]] = []

    def start_response(status: str, fields: list[tuple[str, str]], *_: object) -> None:
        began.append((status, fields))

    with connection_left_open():
        pieces: Any = application(environ, start_response)  # type: ignore[arg-type]
        try:
            text = b"".join(pieces)
        finally:
            if hasattr(pieces, "close"):
                pieces.close()
    status, fields = began[-1]
    return Answer(int(status.split()[0]), {name.lower(): value for name, value in fields}, text)


@contextmanager
def connection_left_open() -> Iterator[None]:
    """Keep the connection open, as Django's own test client does: it belongs to the test."""
    signals = (request_started, request_finished)
    for signal in signals:
        signal.disconnect(close_old_connections)
    try:
        yield
    finally:
        for signal in signals:
            signal.connect(close_old_connections)
