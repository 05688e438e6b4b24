"""Reads followed logs: one thread for each site reads what is new for all its followers in one round trip.

The thread reads no rows. A follower tells it where to read at the site, and reads the job's row in its own request.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from django.conf import settings

from jobs.logs.output import PIECE
from sites.connectors.base import Rejected, Unreachable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobs.logs.output import Part, SiteOutput

logger = logging.getLogger(__name__)

#: Intervals to wait after a site did not answer.
_PAUSE = 10


class Run(NamedTuple):
    """One run of one container. Followers of the same run share a feed."""

    attempt_key: str
    restart: int
    container: str


class Tape:
    """The latest bytes of a file, from offset `begin` to offset `end`; at most PIECE."""

    def __init__(self, begin: int) -> None:
        self.begin = begin
        self.held = bytearray()

    @property
    def end(self) -> int:
        return self.begin + len(self.held)

    def extend(self, piece: bytes) -> None:
        self.held += piece
        surplus = max(0, len(self.held) - PIECE)
        del self.held[:surplus]
        self.begin += surplus


class Feed:
    """What a container writes now: log and index, each from the first offset that a follower asked for.

    source: how to read at the site. The followers keep it up to date.
    """

    def __init__(self, source: SiteOutput) -> None:
        self.source = source
        self.followers = 0
        self._tapes: dict[Part, Tape] = {}
        self._changed = threading.Condition()
        self._version = 0

    def read(self, part: Part, offset: int, limit: int) -> bytes | None:
        """Up to `limit` bytes at `offset`; empty at the tape's end. None where the tape does not go back so far."""
        with self._changed:
            tape = self._tapes.get(part)
            if tape is None or offset < tape.begin:
                return None
            return bytes(tape.held[offset - tape.begin : offset - tape.begin + limit])

    def begin(self, part: Part, offset: int) -> None:
        """Makes the thread read the file from `offset` on, unless it reads it already."""
        with self._changed:
            self._tapes.setdefault(part, Tape(offset))

    def ends(self) -> dict[Part, int]:
        with self._changed:
            return {part: tape.end for part, tape in self._tapes.items()}

    def extend(self, part: Part, piece: bytes) -> None:
        with self._changed:
            self._tapes[part].extend(piece)
            self._version += 1
            self._changed.notify_all()

    def wait(self, seen: int, *, timeout: float) -> int:
        """Waits until there is more than at version `seen`, at most `timeout` seconds. Returns the version now."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != seen, timeout)
            return self._version


class Feeds:
    """All feeds of this process by site, and their threads, which run while there is a follower."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_site: dict[int | None, dict[Run, Feed]] = {}

    @contextmanager
    def following(self, site_id: int | None, run: Run, source: SiteOutput) -> Iterator[Feed]:
        """Yields the feed of a run, which all its followers share. The last follower to leave ends it."""
        feed = self._join(site_id, run, source)
        try:
            yield feed
        finally:
            self._leave(site_id, run, feed)

    def _join(self, site_id: int | None, run: Run, source: SiteOutput) -> Feed:
        with self._lock:
            is_new = site_id not in self._by_site
            feed = self._by_site.setdefault(site_id, {}).setdefault(run, Feed(source))
            feed.followers += 1
        if is_new:
            threading.Thread(target=self._serve, args=[site_id], name=f"logs-{site_id}", daemon=True).start()
        return feed

    def _leave(self, site_id: int | None, run: Run, feed: Feed) -> None:
        with self._lock:
            feed.followers -= 1
            if feed.followers == 0:
                self._by_site.get(site_id, {}).pop(run, None)

    def _serve(self, site_id: int | None) -> None:
        """The thread of one site. It ends when there is no follower at the site."""
        try:
            while feeds := self._followed(site_id):
                try:
                    pause = 0.0 if _read_on(feeds) else settings.LOG_FOLLOW_INTERVAL
                except (Unreachable, Rejected) as error:
                    logger.warning("logs not read", extra={"site": site_id, "why": error.message})
                    pause = _PAUSE * settings.LOG_FOLLOW_INTERVAL
                time.sleep(pause)
        except BaseException:
            # A bug of ours: the next follower must start a new thread.
            with self._lock:
                self._by_site.pop(site_id, None)
            raise

    def _followed(self, site_id: int | None) -> list[Feed]:
        with self._lock:
            feeds = list(self._by_site[site_id].values())
            if not feeds:
                del self._by_site[site_id]
            return feeds


#: The feeds of this process.
feeds = Feeds()


def _read_on(feeds: list[Feed]) -> bool:
    """Reads what is new in every feed, in one round trip. Returns whether a feed may have more to read at once."""
    wanted = [(feed, part, end) for feed in feeds for part, end in feed.ends().items()]
    if not wanted:
        return False
    connector = feeds[-1].source.connect()
    pieces = connector.read_logs([feed.source.request(part, end, PIECE) for feed, part, end in wanted])
    for (feed, part, _), piece in zip(wanted, pieces, strict=False):
        if piece:
            feed.extend(part, piece)
    return any(len(piece or b"") == PIECE for piece in pieces)


class SharedOutput:
    """The output of a container at its site, read from its feed where the feed goes back far enough."""

    begin = 0

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def size(self) -> int:
        return self._feed.source.size()

    def read(self, part: Part, offset: int, limit: int) -> bytes:
        """As `Output.read`, but up to LOG_FOLLOW_INTERVAL seconds behind the site."""
        piece = self._feed.read(part, offset, limit)
        if piece is None:
            piece = self._feed.source.read(part, offset, limit)
            if len(piece) < limit:
                self._feed.begin(part, offset + len(piece))
        return piece

    def close(self) -> None:
        """Does nothing: the feed is shared."""
