"""What the kubelets were heard to ask after, remembered in the process and written down now and then.

Orphans are found by it: a pod that its kubelet no longer polls while the same node is heard. The hot read writes
nothing; one daemon thread per process flushes every POLLED_FLUSH seconds, each table in one UPDATE, and once more at
the process's end. What a killed process forgets is half a minute of a clock that runs for an hour.
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

# Rows are locked in the order of their ids, as everywhere; a busy one is left out, since the next flush is near.
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
    """The memory of one process."""

    def __init__(self) -> None:
        self._nodes: set[int] = set()
        self._tokens: set[int] = set()
        self._pods: set[tuple[int, UUID]] = set()
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()
        self._ended = threading.Event()

    def note(self, caller: NodeCaller, pods: Iterable[UUID] = ()) -> None:
        """This node was heard, and asked after these pods."""
        self._nodes.add(caller.node_id)
        self._tokens.add(caller.token_id)
        for uid in pods:
            self._pods.add((caller.node_id, uid))
        if self._thread is None:
            self._start()

    def flush(self) -> None:
        """Write down what was heard since the last time. Raises DatabaseError; what was heard is then kept."""
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
        """Leave what was heard unwritten. A forked child has no thread yet: its next `note` starts one."""
        self._nodes, self._tokens, self._pods = set(), set(), set()
        if self._thread is not None and not self._thread.is_alive():
            self._thread = None

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = threading.Thread(target=self._flush_now_and_then, name="heard", daemon=True)
                self._thread.start()
                # Not atexit, which a server's worker processes leave out.
                Finalize(self, self._end, exitpriority=0)

    def _flush_now_and_then(self) -> None:
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
    """In a transaction of its own: the nodes of all tenants are in it, and none shall wait for another's rows."""
    with seeing_everything(), connection.cursor() as cursor:
        cursor.execute(statement, list(lists))


#: The one of this process.
heard = Heard()
remembered.registered(heard.forget)
