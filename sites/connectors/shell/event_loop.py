"""One asyncio thread for each process. It owns every SSH connection; other threads wait for its answers."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import TimeoutError as Late
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")

_lock = threading.Lock()
_loops: dict[int, asyncio.AbstractEventLoop] = {}


def event_loop() -> asyncio.AbstractEventLoop:
    """Return this process's loop, which the first call starts. A forked child does not get its parent's thread."""
    with _lock:
        loop = _loops.get(os.getpid())
        if loop is None:
            loop = _loops[os.getpid()] = asyncio.new_event_loop()
            threading.Thread(target=loop.run_forever, name="ssh", daemon=True).start()
        return loop


def wait_for(task: Coroutine[object, object, T], timeout: float) -> T:
    """Run a coroutine in the loop's thread. After `timeout` seconds, cancel it and raise `TimeoutError`."""
    future = asyncio.run_coroutine_threadsafe(task, event_loop())
    try:
        return future.result(timeout)
    except Late:
        future.cancel()
        raise
