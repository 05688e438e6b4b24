"""Which of the program's files have functions that were run: how many rooms a reader walks through behind a pod."""

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
    """The files, as `jobs/lifecycle.py`, of the functions that begin in this block, filled in at its end.

    In this thread and in those that start meanwhile. Bodies of modules and classes are none: they run once, at import.
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
    """The file of a function of ours, "" for all other code."""
    file = Path(code.co_filename)
    if not code.co_flags & inspect.CO_OPTIMIZED or not file.is_relative_to(program.PROJECT):
        return ""
    name = file.relative_to(program.PROJECT).as_posix()
    return name if name.startswith(tuple(f"{package}/" for package in program.PACKAGES)) else ""
