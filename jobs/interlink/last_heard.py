"""Records which nodes called and which pods they polled: kept in the process and written every POLLED_FLUSH seconds.

The orphan sweep needs it: an orphan is a pod that its kubelet no longer polls while its node is heard. A poll itself
writes nothing. One daemon thread of each process writes each table in one UPDATE, and again when the process ends. A
killed process loses half a minute of a clock that counts for an hour.
"""

from __future__ import annotations

import logging
import threading
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection

from controlplane import remembered
from controlplane.auth.tokens import last_use
from controlplane.tenants.scope import seeing_everything

if TYPE_CHECKING:
    from collections.abc import Iterable
    from uuid import UUID

    from controlplane.auth.callers import NodeCaller

logger = logging.getLogger(__name__)

# Rows are locked in the order of their ids, as everywhere. A locked job is left out: the next flush comes soon.
_NODES = """
    UPDATE tenants_virtualnode AS node SET heard_at = now(), heard_minutes = heard_minutes + 1
    FROM (SELECT id FROM tenants_virtualnode WHERE id = ANY(%s)
          AND (heard_at IS NULL OR date_trunc('minute', heard_at) < date_trunc('minute', now()))
          ORDER BY id FOR NO KEY UPDATE) AS due
    WHERE node.id = due.id
"""
_JOBS = """
    UPDATE jobs_job AS job SET polled_minute = due.heard_minutes
    FROM (SELECT job.id, node.heard_minutes FROM unnest(%s::bigint[], %s::uuid[]) AS polled(node_id, pod_uid)
          JOIN jobs_job AS job USING (node_id, pod_uid) JOIN tenants_virtualnode AS node ON node.id = job.node_id
          WHERE job.ended_at IS NULL AND job.polled_minute < node.heard_minutes
          ORDER BY job.id FOR NO KEY UPDATE OF job SKIP LOCKED) AS due
    WHERE job.id = due.id
"""


class Heard:
    """What one process has heard since the last flush."""

    def __init__(self) -> None:
        self._nodes: set[int] = set()
        self._tokens: set[int] = set()
        self._pods: set[tuple[int, UUID]] = set()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._ended = threading.Event()

    def note(self, caller: NodeCaller, pods: Iterable[UUID] = ()) -> None:
        """Records that this node called and polled these pods."""
        self._nodes.add(caller.node_id)
        self._tokens.add(caller.token_id)
        for uid in pods:
            self._pods.add((caller.node_id, uid))
        if self._thread is None:
            self._start()

    def flush(self) -> None:
        """Writes what was heard since the last flush.

        Raises DatabaseError and InterfaceError; what was heard is then kept for the next flush.
        """
        nodes, self._nodes = self._nodes, set()
        tokens, self._tokens = self._tokens, set()
        pods, self._pods = self._pods, set()
        if not nodes:
            return
        try:
            _write(_NODES, sorted(nodes))
            last_use.write(tokens)
            if pods:
                _write(_JOBS, [node for node, _ in pods], [uid for _, uid in pods])
        except (DatabaseError, InterfaceError):
            self._nodes |= nodes
            self._tokens |= tokens
            self._pods |= pods
            raise

    def forget(self) -> None:
        """Drops what was heard. A forked child has no thread: its next `note` starts one."""
        self._nodes, self._tokens, self._pods = set(), set(), set()
        if self._thread is not None and not self._thread.is_alive():
            self._thread = None

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._flush_periodically, name="heard", daemon=True)
                self._thread.start()
                # Not by atexit, which does not run in a server's worker processes.
                Finalize(self, self._end, exitpriority=0)

    def _flush_periodically(self) -> None:
        while not self._ended.wait(settings.POLLED_FLUSH):
            self._flush_if_possible()

    def _end(self) -> None:
        self._ended.set()
        self._flush_if_possible()

    def _flush_if_possible(self) -> None:
        try:
            self.flush()
        except (DatabaseError, InterfaceError) as error:
            logger.warning("what was heard is not written down yet", extra={"why": type(error).__name__})
        finally:
            connection.close()


def _write(statement: str, *lists: list[Any]) -> None:
    """Runs the statement in its own transaction, which sees all tenants, so that no tenant waits for another's rows."""
    with seeing_everything(), connection.cursor() as cursor:
        cursor.execute(statement, list(lists))


#: What this process has heard.
heard = Heard()
remembered.registered(heard.forget)
