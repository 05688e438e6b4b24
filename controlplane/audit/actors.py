"""Who acts: bound where a request is authenticated, read where something is recorded.

Without a binding it is the system itself: a worker, or a command at the host.
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
    """kind: person, node, service, anonymous or system. name: what people know it by. address: where it calls from."""

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
    """Everything recorded inside was done by `actor`."""
    token = _current.set(actor)
    try:
        yield
    finally:
        _current.reset(token)


def bind(actor: Actor) -> None:
    """From now to the end of this request, whose middleware has `acting` around it; its address and id stay."""
    request = _current.get()
    _current.set(replace(actor, address=request.address, request_id=request.request_id))
