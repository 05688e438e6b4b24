"""One reader for all who follow the same container: a thread for each site reads what is new in one round trip.

The thread knows sites, not rows: who follows tells it where to read, and looks after the job's row in its own request.
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

#: A site that did not answer is not asked again for this many intervals.
_PAUSE = 10


class Run(NamedTuple):
    """One run of one container: what a feed is for."""

    attempt_key: str
    restart: int
    container: str


class Tape:
    """The latest bytes of a file: those from `begin` to `end`."""

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
    """What a container writes now, for its followers: log and index, each from the first place that was asked for.

    source: how to read at the site; its followers keep it up to date.
    """

    def __init__(self, source: SiteOutput) -> None:
        self.source = source
        self.followers = 0
        self._tapes: dict[Part, Tape] = {}
        self._changed = threading.Condition()
        self._version = 0

    def read(self, part: Part, offset: int, limit: int) -> bytes | None:
        """Bytes at `offset`, none when the end of the tape is there or before. None: too far back for the tape."""
        with self._changed:
            tape = self._tapes.get(part)
            if tape is None or offset < tape.begin:
                return None
            return bytes(tape.held[offset - tape.begin : offset - tape.begin + limit])

    def begin(self, part: Part, offset: int) -> None:
        """Have the file read from `offset` on, unless it is being read."""
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
        """Until there is more than at version `seen`, or `timeout` seconds have passed; the version now."""
        with self._changed:
            self._changed.wait_for(lambda: self._version != seen, timeout)
            return self._version


class Feeds:
    """All feeds of this process, by site, and the threads that read them while anybody follows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_site: dict[int | None, dict[Run, Feed]] = {}

    @contextmanager
    def following(self, site_id: int | None, run: Run, source: SiteOutput) -> Iterator[Feed]:
        """The feed of a run, shared with whoever follows it too; the last to leave ends it."""
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
        """The thread of one site: ends when nobody follows anything there."""
        try:
            while feeds := self._followed(site_id):
                try:
                    pause = 0.0 if _read_on(feeds) else settings.LOG_FOLLOW_INTERVAL
                except (Unreachable, Rejected) as error:
                    logger.warning("logs not read", extra={"site": site_id, "why": error.message})
                    pause = _PAUSE * settings.LOG_FOLLOW_INTERVAL
                time.sleep(pause)
        except BaseException:
            # A fault of ours: the next follower shall start a new thread.
            with self._lock:
                self._by_site.pop(site_id, None)
            raise

    def _followed(self, site_id: int | None) -> list[Feed]:
        with self._lock:
            feeds = list(self._by_site[site_id].values())
            if not feeds:
                del self._by_site[site_id]
            return feeds


#: The ones of this process.
feeds = Feeds()


def _read_on(feeds: list[Feed]) -> bool:
    """Read what is new in every feed in one round trip. True when some of it may have more at once."""
    asked = [(feed, part, end) for feed in feeds for part, end in feed.ends().items()]
    if not asked:
        return False
    connector = feeds[-1].source.connect()
    pieces = connector.read_logs([feed.source.request(part, end, PIECE) for feed, part, end in asked])
    for (feed, part, _), piece in zip(asked, pieces, strict=False):
        if piece:
            feed.extend(part, piece)
    return any(len(piece or b"") == PIECE for piece in pieces)


class SharedOutput:
    """The output of a container at its site, read through its feed wherever that can serve."""

    begin = 0

    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def size(self) -> int:
        return self._feed.source.size()

    def read(self, part: Part, offset: int, limit: int) -> bytes:
        """As `Output.read`, but its end lies up to LOG_FOLLOW_INTERVAL behind the site's."""
        piece = self._feed.read(part, offset, limit)
        if piece is None:
            piece = self._feed.source.read(part, offset, limit)
            if len(piece) < limit:
                self._feed.begin(part, offset + len(piece))
        return piece

    def close(self) -> None:
        """The feed is shared."""
