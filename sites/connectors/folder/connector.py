"""The base of the connectors that run commands at a site and keep attempts in folders there."""

from __future__ import annotations

import posixpath
import secrets
from abc import abstractmethod
from typing import TYPE_CHECKING

from sites.connectors.base import Connector, InDoubt, PollAnswer
from sites.connectors.config import Config
from sites.connectors.folder.outcomes import recorded_of, sections
from sites.connectors.folder.protocol import Doubt, batches, read_base, require_success, safe_folder
from sites.connectors.shell.programs import read_program

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sites.connectors.base import Found, LogRequest
    from sites.connectors.folder.outcomes import Section
    from sites.connectors.folder.protocol import AttemptFolders, Variables
    from sites.workload import JobRef, Report

MOST_EVENTS = 20_000
# The most ended jobs whose folders one poll reads; the next polls read the others.
MOST_OUTCOMES = 500

UNSURE = InDoubt("The batch job may or may not have started.")


class FolderConnector(Connector):
    """Settles, reads and removes attempt folders. Its subclasses launch, poll and cancel batch jobs."""

    def __init__(self, folders: AttemptFolders) -> None:
        self._folders = folders
        self._name = folders.shell.name

    @classmethod
    def folder_for(cls, config: Mapping[str, object], key: str) -> str:
        return f"{read_base(Config(config))}/{key}"

    @abstractmethod
    def _search(self, account: str, refs: Sequence[JobRef]) -> Mapping[JobRef, str]:
        """Search for attempts that are long in doubt. Returns their native ids; "" for a job that never started.

        Attempts that are missing from the result stay in doubt.
        """

    @abstractmethod
    def _poll_account(self, account: str, refs: Sequence[JobRef], recorded: bytes) -> PollAnswer:
        """Poll the jobs of one local account in one round trip. recorded: see `_run_poll`."""

    def find(self, refs: Sequence[JobRef]) -> dict[str, Found]:
        answers: dict[str, Found] = {}
        for account, batch in batches(refs):
            found = self._folders.find(account, batch)
            old = [ref for ref in batch if isinstance(doubt := found.get(ref.key), Doubt) and doubt.is_old]
            if old and (settled := self._search(account, old)):
                found |= self._folders.resolve(account, settled)
            answers.update((key, UNSURE if isinstance(each, Doubt) else each) for key, each in found.items())
        return answers

    def poll(self, refs: Sequence[JobRef], recorded: Sequence[str] = ()) -> PollAnswer:
        found: dict[str, Report] = {}
        seconds = 0.0
        accounts = dict.fromkeys([ref.account for ref in refs] + [token.partition(":")[0] for token in recorded])
        for account in accounts:
            own = [ref for ref in refs if ref.account == account and ref.native_id]
            answer = self._poll_account(account, own, recorded_of(account, recorded))
            found |= answer.reports
            seconds += answer.scheduler_seconds
        return PollAnswer(found, seconds)

    def _run_poll(
        self, account: str, program: str, refs: Sequence[JobRef], recorded: bytes, variables: Variables
    ) -> tuple[dict[str, Section], str]:
        """Run a poll's program. Returns its sections by name, and the end of its stderr.

        program: its text. recorded: the paths of events to delete, NUL after each (see `recorded_of`).
        """
        token = secrets.token_hex(8)
        limits = {"most_events": MOST_EVENTS, "most_outcomes": MOST_OUTCOMES}
        parents = "\n".join(sorted({posixpath.dirname(ref.folder) for ref in refs}))
        variables = {"token": token, "recorded": len(recorded), "parents": parents, **limits, **variables}
        lines = "".join(f"{ref.native_id}\t{ref.key}\t{safe_folder(ref)}\n" for ref in refs)
        outcomes = read_program("sites.connectors.folder", "outcomes")
        done = self._folders.run(account, [outcomes, program], variables, recorded + lines.encode())
        require_success(done, self._name)
        return sections(done.stdout, token, self._name), done.complaint

    def read_logs(self, requests: Sequence[LogRequest]) -> list[bytes | None]:
        return self._folders.read_logs(requests)

    def clean(self, refs: Sequence[JobRef]) -> None:
        self._folders.clean(refs)

    def close(self) -> None:
        self._folders.shell.close()
