"""The current actor: set when a request is authenticated, read when an event is recorded.

If none is set, the actor is the system itself: a worker, or a command on the host.
"""

from __future__ import annotations

from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Actor:
    """Who acts. kind: person, node, service, anonymous or system. name: for people to read. address: the IP address."""

    kind: str = "system"
    id: int | None = None
    name: str = ""
    token_id: int | None = None
    address: str = ""
    request_id: str = ""


SYSTEM = Actor()
_current: ContextVar[Actor] = ContextVar("actor", default=SYSTEM)


def current() -> Actor:
    return _current.get()


@contextmanager
def acting(actor: Actor) -> Iterator[None]:
    """Within the context, events are recorded as done by `actor`."""
    token = _current.set(actor)
    try:
        yield
    finally:
        _current.reset(token)


def bind(actor: Actor) -> None:
    """Sets the actor until the end of this request, and keeps the request's address and id.

    RequestMiddleware resets the actor when the request ends.
    """
    request = _current.get()
    _current.set(replace(actor, address=request.address, request_id=request.request_id))
