"""Outcome files and events, as programs/outcomes.sh prints them -> reports of containers. Pure."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sites.connectors.base import Unreachable
from sites.workload import ContainerReport

if TYPE_CHECKING:
    from collections.abc import Sequence


def from_epoch(epoch: str) -> datetime | None:
    """Convert epoch seconds, as a site prints them, to an aware time; None for `N/A`, `Unknown`, 0 and the like."""
    return datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() and epoch != "0" else None


@dataclass
class Story:
    """What the files of one attempt report so far.

    containers: the reports by container. staged: the names of all its containers. reasons: container -> (word,
    sentence). last_line: of the output of the scheduler or of the batch script itself.
    """

    containers: dict[str, ContainerReport] = field(default_factory=dict)
    staged: set[str] = field(default_factory=set)
    reasons: dict[str, tuple[str, str]] = field(default_factory=dict)
    last_line: str = ""
    restart: int = 0
    events: tuple[str, ...] = ()

    def add(self, container: str, restart: int, kind: str, epoch: str, code: str) -> None:
        """Add one `started` or `ended`. Those of the latest run count; those of earlier runs are ignored."""
        if restart > self.restart:
            self.restart = restart
            self.containers.clear()
            self.reasons.clear()
        if restart < self.restart:
            return
        known = self.containers.get(container) or ContainerReport(container, restart=restart)
        if kind == "started":
            known = replace(known, started_at=from_epoch(epoch))
        elif code.lstrip("-").isdigit():
            known = replace(known, ended_at=from_epoch(epoch), exit_code=int(code))
        self.containers[container] = known

    @property
    def reports(self) -> tuple[ContainerReport, ...]:
        return tuple(self.containers.values())

    @property
    def is_whole(self) -> bool:
        """Whether the end of every container is known."""
        ended = {name for name, report in self.containers.items() if report.exit_code is not None}
        return bool(self.staged) and self.staged <= ended

    @property
    def has_failed(self) -> bool:
        return any(report.exit_code for report in self.containers.values())

    @property
    def last_end(self) -> datetime | None:
        return max((report.ended_at for report in self.containers.values() if report.ended_at), default=None)

    @property
    def first_start(self) -> datetime | None:
        return min((report.started_at for report in self.containers.values() if report.started_at), default=None)


@dataclass(frozen=True)
class Section:
    """One part of a poll's answer. code: the exit code of the command whose output it holds."""

    code: int
    lines: list[str]


def sections(output: bytes, token: str, site: str) -> dict[str, Section]:
    """Cut a poll's answer at its header lines. Raises `Unreachable` unless it has its last section, `end`."""
    found: dict[str, Section] = {}
    for part in output.decode(errors="replace").split(f"\n{token} ")[1:]:
        header, _, body = part.partition("\n")
        name, _, code = header.partition(" ")
        found[name] = Section(int(code), body.split("\n") if body else [])
    if "end" not in found:
        raise Unreachable(f"The answer from {site} was incomplete.")
    return found


def stories(events: Section, outcomes: Section, account: str) -> dict[str, Story]:
    """Return the stories by key, from the events of running jobs and the outcome files of ended jobs."""
    found: dict[str, Story] = defaultdict(Story)
    _add_events(found, events.lines, account)
    for line in outcomes.lines:
        if line.count("\t") < 4:
            continue
        key, restart, container, kind, text = line.split("\t", 4)
        story = found[key]
        if kind == "staged":
            story.staged.add(container)
        elif kind == "said":
            story.last_line = text
        elif kind == "reason":
            word, _, sentence = text.partition(" ")
            story.reasons[container] = (word, sentence)
        elif restart.isdigit():
            epoch, _, code = text.partition(" ")
            story.add(container, int(restart), kind, epoch, code)
    return found


def _add_events(found: dict[str, Story], lines: list[str], account: str) -> None:
    """Add events to their stories. lines: a line `<parent>/`, then the file names in its events folder, and so on."""
    parent = ""
    tokens: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        if line.endswith("/"):
            parent = line
        name = line.split(".")
        if len(name) == 6 and name[1].isdigit() and name[3] in {"started", "ended"}:
            key, restart, container, kind, epoch, code = name
            found[key].add(container, int(restart), kind, epoch, code)
            tokens[key].append(f"{account}:{parent}events/{line}")
    for key, names in tokens.items():
        found[key].events = tuple(names)


def recorded_of(account: str, recorded: Sequence[str]) -> bytes:
    """Return this account's tokens as paths for `forget_events`, NUL after each. Other paths are left out: not ours."""
    prefix = f"{account}:"
    paths = (token.removeprefix(prefix) for token in recorded if token.startswith(prefix))
    return b"".join(path.encode() + b"\0" for path in paths if "/events/" in path and ".." not in path.split("/"))
