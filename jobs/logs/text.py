"""The text of an answer: where it begins, each line's time, and what has been added since it was last read.

It knows neither the site nor the web: an `Output` gives the bytes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from jobs.logs.output import PIECE, pieces
from sites.connectors.base import Unreachable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from jobs.logs.output import Output

_TAIL_PIECE = 1 << 18
#: The end of the last stretch of time: a size that no log reaches.
_ENDLESS = 1 << 62
#: Characters of the longest line of an index. A job can write to its folder, so the index may hold anything.
_LONGEST_LINE = 40
_YEAR_10000 = 253_402_300_800
#: Empty lines become times of 21 bytes each: stamped in small pieces, they stay small.
_STAMP_PIECE = 1 << 16
#: Seconds for which a line waits for its time in the index, which the batch script writes each second.
_HOLD = 3.0


@dataclass(frozen=True)
class LogOptions:
    """Which part of a log, and how.

    tail: only the last lines, None for all; limit: bytes of the answer, the first ones of what the other options leave
    (as the kubelet's limitBytes), None for all; timestamps: each line begins with its time; since: epoch seconds, only
    lines written then or later; follow: go on until the container has ended.
    """

    tail: int | None = None
    limit: int | None = None
    timestamps: bool = False
    since: int | None = None
    follow: bool = False


class Clock:
    """The time of each byte, from an index of `<epoch seconds> <size of the log then>` lines.

    The time of a byte is that of the first line whose size is beyond it. `stretch` must be called with ascending
    offsets: so the index is read once, in pieces, by `read(offset, limit)`. Lines that make no sense are skipped, and
    time never runs backwards.
    """

    def __init__(self, read: Callable[[int, int], bytes]) -> None:
        self._read = read
        self._read_to = 0
        self._lines: list[bytes] = []
        self._rest = b""
        self._exhausted = False
        self.time = 0
        self.size = 0

    def stretch(self, offset: int) -> tuple[int, int] | None:
        """(epoch seconds, end) of the bytes around `offset` that share its time; None while no line covers it."""
        while self.size <= offset:
            if not self._advance():
                return None
        return self.time, self.size

    def refresh(self) -> None:
        """Reads on in the index at the next call, since it may have grown."""
        self._exhausted = False

    def _advance(self) -> bool:
        if not self._lines and not self._load():
            return False
        line = self._lines.pop()
        time, _, size = line.partition(b" ")
        if len(line) <= _LONGEST_LINE and time.isdigit() and size.isdigit() and int(time) < _YEAR_10000:
            self.time, self.size = max(self.time, int(time)), max(self.size, int(size))
        return True

    def _load(self) -> bool:
        """Reads the next piece. A line without a newline is not complete yet and waits for its rest."""
        while not self._exhausted:
            piece = self._read(self._read_to, PIECE)
            self._read_to += len(piece)
            self._exhausted = len(piece) < PIECE
            *lines, rest = (self._rest + piece).split(b"\n")
            self._rest = rest[: _LONGEST_LINE + 1]
            if lines:
                self._lines = lines[::-1]
                return True
        return False


class Stamper:
    """Puts each line's time before it (RFC 3339, to the second). A line may be split over several pieces."""

    def __init__(self, clock: Clock, *, at_line_start: bool) -> None:
        self.clock = clock
        self._at_line_start = at_line_start

    def stamp(self, piece: bytes, offset: int, *, otherwise: int | None) -> tuple[bytes, int]:
        """`piece`, which begins at `offset`, with its times, and how many of its bytes were stamped.

        otherwise: epoch seconds for bytes that the index does not cover; None stops before them. Raises Unreachable
        where the index cannot be read.
        """
        stamped: list[bytes] = []
        done = 0
        while done < len(piece):
            try:
                stretch = self.clock.stretch(offset + done)
            except Unreachable:
                if not stamped:
                    raise
                break  # return what is stamped already; the next call raises
            if stretch is None and otherwise is None:
                break
            second, end = stretch or (max(self.clock.time, otherwise or 0), _ENDLESS)
            part = piece[done : end - offset]
            prefix = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%SZ ").encode()
            lead = prefix if self._at_line_start else b""
            self._at_line_start = part.endswith(b"\n")
            # No prefix after a last newline: it belongs to the next line, which may have another time.
            stamped.append(lead + part[:-1].replace(b"\n", b"\n" + prefix) + part[-1:])
            done += len(part)
        return b"".join(stamped), done


class LogText:
    """The text of one answer, and how far it has been read.

    Making one finds the start, and raises what `output.read` raises. `output` may be replaced by another with the same
    bytes: a log that is followed at its site ends in the archive.
    """

    def __init__(self, output: Output, options: LogOptions) -> None:
        self.output = output
        self._position = _start(output, options)
        self._waiting_since: float | None = None
        self._stamper: Stamper | None = None
        if options.timestamps:
            clock = Clock(lambda offset, limit: self.output.read("index", offset, limit))
            starts = is_line_start(output, self._position)
            self._stamper = Stamper(clock, at_line_start=starts)

    def available(self, *, otherwise: int | None) -> Iterator[bytes]:
        """Yields the text up to the present end. Called again, also after Unreachable, it continues where it stopped.

        otherwise: epoch seconds for text that the index does not cover; None holds such text back for a while.
        """
        if self._stamper:
            self._stamper.clock.refresh()
        while piece := self._read():
            before = self._position
            yield from self._stamped(piece, otherwise)
            done = self._position - before
            if done == 0 or done == len(piece) < PIECE:
                return

    def _read(self) -> bytes:
        self._position = max(self._position, self.output.begin)
        return self.output.read("log", self._position, PIECE)

    def _stamped(self, piece: bytes, otherwise: int | None) -> Iterator[bytes]:
        if self._stamper is None:
            self._position += len(piece)
            yield piece
            return
        for start in range(0, len(piece), _STAMP_PIECE):
            part = piece[start : start + _STAMP_PIECE]
            stamped, done = self._stamper.stamp(part, self._position, otherwise=self._patience(otherwise))
            self._position += done
            if stamped:
                self._waiting_since = None
                yield stamped
            if done < len(part):
                self._waiting_since = self._waiting_since or time.monotonic()
                return

    def _patience(self, otherwise: int | None) -> int | None:
        """Where a site keeps no index, text is not held back for ever: it gets the time at which we read it."""
        if otherwise is None and self._waiting_since is not None and time.monotonic() - self._waiting_since > _HOLD:
            return int(time.time())
        return otherwise


def _start(output: Output, options: LogOptions) -> int:
    """The offset at which the answer begins."""
    offset = output.begin
    if options.tail is not None:
        offset = max(offset, _tail_start(output, options.tail))
    if options.since is not None:
        offset = max(offset, _since_start(output, options.since))
    return offset


def is_line_start(output: Output, offset: int) -> bool:
    return offset <= output.begin or output.read("log", offset - 1, 1) == b"\n"


def next_line(output: Output, offset: int) -> int:
    """The start of the first line at or after `offset`; the present end where there is none."""
    if offset <= output.begin:
        return output.begin
    position = offset - 1
    for piece in pieces(output, position):
        found = piece.find(b"\n")
        if found >= 0:
            return position + found + 1
        position += len(piece)
    return max(position, offset)


def _tail_start(output: Output, lines: int) -> int:
    """Where the last `lines` lines begin. Reads backwards from the end. The last line may lack its newline."""
    end = position = output.size()
    while position > output.begin:
        offset = max(output.begin, position - _TAIL_PIECE)
        piece = output.read("log", offset, position - offset)
        if position == end:
            piece = piece[: end - offset - 1]  # a newline at the very end begins no line
        found = piece.count(b"\n")
        if found >= lines:
            position = -1
            for _ in range(found - lines + 1):
                position = piece.find(b"\n", position + 1)
            return offset + position + 1
        lines -= found
        position = offset
    return output.begin


def _since_start(output: Output, since: int) -> int:
    """The first line that begins with a byte written at `since` or later. Bytes not in the index yet are the latest."""
    clock, offset = Clock(lambda offset, limit: output.read("index", offset, limit)), output.begin
    while (stretch := clock.stretch(offset)) and stretch[0] < since:
        offset = stretch[1]
    return next_line(output, offset)
