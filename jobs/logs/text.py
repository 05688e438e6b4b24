"""An answer's text: what is there from where it begins on, and again whatever has been added since."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from jobs.logs import window
from jobs.logs.output import PIECE

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from jobs.logs.options import LogOptions
    from jobs.logs.output import Output

#: Lines of nothing become times of 21 bytes each: stamped in small pieces, they stay small.
_STAMP_PIECE = 1 << 16
#: How long a line waits for its time in the index, which the batch script writes each second.
_HOLD = 3.0


class LogText:
    """How far one reader has come in one container's output.

    Making it finds the start, and raises what reading does. `output` may be replaced by another that holds the same
    bytes: a log that was followed at its site ends in the archive.
    """

    def __init__(self, output: Output, options: LogOptions) -> None:
        self.output = output
        self._position = window.start(output, options)
        self._held_since: float | None = None
        self._stamper: window.Stamper | None = None
        if options.timestamps:
            clock = window.Clock(lambda offset, limit: self.output.read("index", offset, limit))
            starts = window.is_line_start(output, self._position)
            self._stamper = window.Stamper(clock, at_line_start=starts)

    def available(self, *, otherwise: int | None) -> Iterator[bytes]:
        """Everything up to the present end. After an Unreachable, asking again goes on where it stopped.

        otherwise: epoch seconds for text that the index does not cover; None holds it back for a while.
        """
        if self._stamper:
            self._stamper.clock.refresh()
        while piece := self._next_piece():
            before = self._position
            yield from self._told(piece, otherwise)
            done = self._position - before
            if done == 0 or done == len(piece) < PIECE:
                return

    def _next_piece(self) -> bytes:
        self._position = max(self._position, self.output.begin)
        return self.output.read("log", self._position, PIECE)

    def _told(self, piece: bytes, otherwise: int | None) -> Iterator[bytes]:
        if self._stamper is None:
            self._position += len(piece)
            yield piece
            return
        for start in range(0, len(piece), _STAMP_PIECE):
            part = piece[start : start + _STAMP_PIECE]
            stamped, done = self._stamper.stamp(part, self._position, otherwise=self._patience(otherwise))
            self._position += done
            if stamped:
                self._held_since = None
                yield stamped
            if done < len(part):
                self._held_since = self._held_since or time.monotonic()
                return

    def _patience(self, otherwise: int | None) -> int | None:
        """A site that keeps no index must not hold text back for ever: then it gets the time at which we read it."""
        if otherwise is None and self._held_since is not None and time.monotonic() - self._held_since > _HOLD:
            return int(time.time())
        return otherwise


def limited(chunks: Generator[bytes], limit: int | None) -> Generator[bytes]:
    """The first `limit` bytes of all that comes."""
    with closing(chunks):
        for chunk in chunks:
            if limit is None:
                yield chunk
                continue
            yield chunk[:limit]
            limit -= len(chunk)
            if limit <= 0:
                return
