"""Which of the program's files have functions that run: how many files a reader opens to follow a pod."""

from __future__ import annotations

import inspect
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests import program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import CodeType, FrameType


@contextmanager
def files_run() -> Iterator[set[str]]:
    """Yield a set of files (`jobs/lifecycle.py`) that is filled at the block's end: those with a called function.

    Counts this thread and threads started in the block. Bodies of modules and classes do not count: they run at import.
    """
    codes: set[CodeType] = set()
    files: set[str] = set()

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call":
            codes.add(frame.f_code)

    before = sys.getprofile()
    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield files
    finally:
        sys.setprofile(before)
        threading.setprofile(before)
        files |= set(filter(None, map(_ours, codes)))


def _ours(code: CodeType) -> str:
    """Return the file of one of our functions, "" for all other code."""
    file = Path(code.co_filename)
    if not code.co_flags & inspect.CO_OPTIMIZED or not file.is_relative_to(program.PROJECT):
        return ""
    name = file.relative_to(program.PROJECT).as_posix()
    return name if name.startswith(tuple(f"{package}/" for package in program.PACKAGES)) else ""
