"""Answers GET /status, nine of ten requests, in front of Django: a WSGI function that `controlplane/wsgi.py` calls.

The status texts were rendered when the job changed (jobs/rendering.py). Here they are read by node and UID and joined,
never parsed. Which of its two texts a pod gets depends on the containers that its kubelet has seen, which the request
names (docs/interlink-wire.md).
"""

from __future__ import annotations

import time
from http import HTTPStatus
from typing import TYPE_CHECKING
from uuid import UUID

import msgspec
import orjson
from django.conf import settings

from controlplane import remembered
from controlplane.auth import callers
from controlplane.auth.callers import BY_DIGEST, FoundToken
from controlplane.errors import BadRequest, IsthmusError, NotAllowed, Unauthenticated
from controlplane.requests import request_done
from jobs.interlink.bodies import raw_body
from jobs.interlink.last_heard import heard
from jobs.interlink.status_reader import PodKey, Statements, reader

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment


# Both statements call functions that a migration creates, since row security hides the rows, and this path opens no
# transaction in which it could set a scope.
_PODS = """
    SELECT isthmus_status(asked.node, asked.pod, $3::jsonb -> (asked.number::int - 1))
    FROM unnest($1::bigint[], $2::uuid[]) WITH ORDINALITY AS asked(node, pod, number)
    ORDER BY asked.number
"""
_ALL = "SELECT pod, status FROM isthmus_status_of_all($1::bigint, $2::int)"
_JSON = [("Content-Type", "application/json")]
_LINES = {code.value: f"{code.value} {code.phrase}" for code in HTTPStatus}
STATEMENTS = Statements(_PODS, (("all", _ALL), ("token", BY_DIGEST.replace("%s", "$1"))))


class _Named(msgspec.Struct):
    name: str


class _Status(msgspec.Struct):
    initContainerStatuses: list[_Named] | None = None  # noqa: N815  (Kubernetes' names)
    containerStatuses: list[_Named] | None = None  # noqa: N815


class _Metadata(msgspec.Struct):
    uid: UUID


class _Pod(msgspec.Struct):
    """What is read of a v1.Pod. msgspec skips the rest, nine tenths of a request, without building it."""

    metadata: _Metadata
    status: _Status | None = None

    @property
    def seen(self) -> list[str]:
        """The names of the containers that the kubelet has seen, without names that PostgreSQL cannot hold."""
        if self.status is None:
            return []
        return [
            each.name
            for part in (self.status.initContainerStatuses, self.status.containerStatuses)
            for each in part or ()
            if "\0" not in each.name
        ]


_DECODER = msgspec.json.Decoder(list[_Pod])


def is_status(path: str) -> bool:
    """Whether `status` serves this path: /status or /vk/<slug>/status."""
    return path == "/status" or (path.endswith("/status") and path.startswith("/vk/") and path.count("/") == 3)


def status(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """Answers one GET or POST of [v1.Pod] with [PodStatus], for the pods that this node created and did not delete.

    An empty list asks for all live pods of the node, at most INTERLINK_LIST_LIMIT. An error is one plain sentence.
    """
    began = time.monotonic()
    method = environ["REQUEST_METHOD"]
    headers = _JSON
    try:
        code, body = 200, _answer(method, environ)
    except IsthmusError as error:
        code, body = error.status, error.message.encode()
        headers = [("Content-Type", "text/plain; charset=utf-8")]
        if isinstance(error, Unauthenticated):
            headers.append(("WWW-Authenticate", error.challenge))
    start_response(_LINES[code], [*headers, ("Content-Length", str(len(body)))])
    request_done(method=method, route="status", status=code, seconds=time.monotonic() - began)
    return [body]


@remembered.registered
def close_connections() -> None:
    """Closes this process's connections for /status; the next request opens new ones."""
    reader(STATEMENTS).close()
    reader.cache_clear()


def _answer(method: str, environ: WSGIEnvironment) -> bytes:
    if method not in {"GET", "POST"}:
        raise NotAllowed("Ask for /status with GET or POST.")
    caller = callers.memory.caller(callers.bearer(environ.get("HTTP_AUTHORIZATION", "")), find=_find)
    path = environ["PATH_INFO"]
    caller.must_be(path.split("/")[2] if path.startswith("/vk/") else None)
    pods = _pods(raw_body(environ))
    node = b"%d" % caller.node_id
    if pods:
        wanted = [PodKey(node, str(pod.metadata.uid).encode(), orjson.dumps(pod.seen)) for pod in pods]
        texts = zip(pods, reader(STATEMENTS).texts(wanted), strict=True)
        found = {pod.metadata.uid: text for pod, text in texts if text is not None}
    else:
        rows = reader(STATEMENTS).rows("all", (node, b"%d" % settings.INTERLINK_LIST_LIMIT))
        found = {UUID(uid.decode()): text for uid, text in rows}
    heard.note(caller, found)
    return b"[" + b",".join(found.values()) + b"]"


def _pods(body: bytes) -> list[_Pod]:
    try:
        return _DECODER.decode(body)
    except msgspec.ValidationError:
        raise BadRequest("The body must be a list of pods, each with a UUID under metadata.uid.") from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from None
    except UnicodeDecodeError:
        raise BadRequest("The body is not JSON: a text in it is not UTF-8.") from None
    except RecursionError:
        raise BadRequest("The pod is nested deeper than any that Kubernetes takes.") from None


def _find(digest: bytes) -> FoundToken | None:
    for row in reader(STATEMENTS).rows("token", (digest,), binary=True):
        return _found(*("" if value is None else value.decode() for value in row))
    return None


def _found(
    token: str, kind: str, expires_at: str, is_revoked: str, in_force: str, node: str, tenant: str, slug: str,
    person: str, service: str, scopes: str,
) -> FoundToken:  # fmt: skip
    """Makes a FoundToken from PostgreSQL's texts."""
    return FoundToken(
        int(token), kind, float(expires_at), is_revoked == "t", in_force == "t", _id(node), _id(tenant), slug,
        _id(person), _id(service), scopes,
    )  # fmt: skip


def _id(text: str) -> int | None:
    return int(text) if text else None
