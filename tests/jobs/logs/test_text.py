from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs.logs import LogOptions, output, text
from jobs.logs.output import limited
from jobs.logs.text import LogText
from sites.connectors.base import Unreachable

if TYPE_CHECKING:
    from jobs.logs.output import Part

OTHERWISE = 1_000


@dataclass
class Held:
    """An output in memory. The next `broken` reads fail."""

    log: bytes
    lines: bytes
    broken: int = 0
    begin: int = 0
    largest: int = 0

    def size(self) -> int:
        return len(self.log)

    def read(self, part: Part, offset: int, limit: int) -> bytes:
        if self.broken:
            self.broken -= 1
            raise Unreachable("The site does not answer.")
        self.largest = max(self.largest, limit)
        whole = self.log if part == "log" else self.lines
        return whole[offset : offset + limit]

    def close(self) -> None:
        """Do nothing: there is nothing to release."""


def read(held: Held, options: LogOptions) -> bytes:
    chunks = LogText(held, options).available(otherwise=OTHERWISE)
    return b"".join(limited(chunks, options.limit))  # type: ignore[arg-type]


def naive(log: bytes, index: list[tuple[int, int]], options: LogOptions) -> bytes:
    """Apply the options byte by byte and line by line, as their definition says."""
    answer, offset = [], 0
    lines = [line + b"\n" for line in log.split(b"\n")]
    lines[-1] = lines[-1][:-1]
    for line in filter(None, lines):
        time = max(second_of(offset, index), 0)
        offset += len(line)
        if options.since is None or time >= options.since:
            stamp = datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ ") if options.timestamps else ""
            answer.append((offset, stamp.encode() + line))
        else:
            answer.append((offset, b""))
    kept = answer[-options.tail :] if options.tail else answer
    return b"".join(line for _, line in kept)[: options.limit]


def second_of(offset: int, index: list[tuple[int, int]]) -> int:
    covering = [second for second, size in index if size > offset]
    return covering[0] if covering else max([OTHERWISE, *(second for second, _ in index)])


def index_of(log: bytes, steps: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return an index as the batch script writes it: growing times and sizes; the last size may exceed the log."""
    entries, second, size = [], 0, 0
    for waited, written in steps:
        second, size = second + waited, size + written
        if size > len(log):
            break
        entries.append((second, size))
    return entries


LOGS = st.lists(st.sampled_from([b"\n", b"a", b"\xff", b"\xc3\xa9", b"\r", b"\0", b"line\n"]), max_size=40).map(
    b"".join
)
STEPS = st.lists(st.tuples(st.integers(1, 3), st.integers(1, 12)), max_size=20)
OPTIONS = st.builds(
    LogOptions,
    tail=st.none() | st.integers(1, 12),
    limit=st.none() | st.integers(1, 60),
    timestamps=st.booleans(),
    since=st.none() | st.integers(-1, 12) | st.just(OTHERWISE),
)


@given(LOGS, STEPS, OPTIONS, st.integers(1, 9))
@example(b"\n", [], LogOptions(tail=1), 1)
@example(b"a\n\n", [(1, 1)], LogOptions(tail=1, timestamps=True), 1)
@example(b"a\xc3\xa9\nb", [(1, 2), (1, 1)], LogOptions(timestamps=True), 1)
@example(b"a\nb\nc\n", [(1, 2), (1, 2), (1, 2)], LogOptions(since=2), 1)
def test_any_log_reads_as_a_naive_reader_would_read_it(
    log: bytes, steps: list[tuple[int, int]], options: LogOptions, piece: int
) -> None:
    """For any bytes, index and options, and wherever the pieces end."""
    entries = index_of(log, steps)
    held = Held(log, b"".join(b"%d %d\n" % entry for entry in entries))
    with pytest.MonkeyPatch.context() as patch:
        for module, name in [(text, "PIECE"), (output, "PIECE"), (text, "_TAIL_PIECE")]:
            patch.setattr(module, name, piece)
        patch.setattr(text, "_STAMP_PIECE", piece)
        assert read(held, options) == naive(log, entries, options)


def test_an_index_full_of_nonsense_still_gives_times() -> None:
    nonsense = b"1 2\nx\n\n99999999999999 3\n5\n" + b"9" * 500 + b" 4\n-1 7\n\xff 9\n7 8\n3 9\n8"
    stamped = read(Held(b"a\nb\nc\nd\n.", nonsense), LogOptions(timestamps=True)).decode()
    assert [line[14:] for line in stamped.splitlines()] == ["00:01Z a", "00:07Z b", "00:07Z c", "00:07Z d", "00:07Z ."]


def test_after_a_failed_read_no_byte_is_lost_or_doubled() -> None:
    log, index = b"".join(b"line %d\n" % n for n in range(50)), b"".join(b"%d %d\n" % (n, 8 * n) for n in range(99))
    options = LogOptions(timestamps=True)
    whole = read(Held(log, index), options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "PIECE", 16)
        for fails_after in range(1, 120):
            held, got = Held(log, index), []
            log_text = LogText(held, options)
            reads = 0
            while True:
                try:
                    for chunk in log_text.available(otherwise=OTHERWISE):
                        got.append(chunk)
                        reads += 1
                        held.broken = int(reads == fails_after)
                    break
                except Unreachable:
                    continue
            assert b"".join(got) == whole


def test_text_without_a_time_yet_is_held_back_and_then_sent_with_its_own() -> None:
    held = Held(b"one\ntwo\n", b"5 4\n")
    log_text = LogText(held, LogOptions(timestamps=True))
    assert b"".join(log_text.available(otherwise=None)) == b"1970-01-01T00:00:05Z one\n"
    held.lines += b"6 8\n"
    assert b"".join(log_text.available(otherwise=None)) == b"1970-01-01T00:00:06Z two\n"


def test_without_an_index_text_is_held_back_for_a_limited_time(monkeypatch: pytest.MonkeyPatch) -> None:
    log_text = LogText(Held(b"one\n", b""), LogOptions(timestamps=True))
    assert b"".join(log_text.available(otherwise=None)) == b""
    monkeypatch.setattr(text, "_HOLD", 0.0)
    assert b"".join(log_text.available(otherwise=None)).endswith(b"Z one\n")


def test_the_end_of_a_large_log_is_found_without_reading_all_of_it() -> None:
    held = Held(b"x" * 5_000_000 + b"\nlast line\n", b"")
    assert read(held, LogOptions(tail=1)) == b"last line\n"
