"""What outcome files and events tell of containers: the lines of programs/outcomes.sh -> reports. Pure."""

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
    """Epoch seconds as a site prints them; anything else (`N/A`, `Unknown`, 0) is no time."""
    return datetime.fromtimestamp(int(epoch), UTC) if epoch.isdigit() and epoch != "0" else None


@dataclass
class Story:
    """What one attempt's files tell so far. staged: its containers; reasons: container -> word, sentence; said: by
    the scheduler or the batch script itself."""

    containers: dict[str, ContainerReport] = field(default_factory=dict)
    staged: set[str] = field(default_factory=set)
    reasons: dict[str, tuple[str, str]] = field(default_factory=dict)
    said: str = ""
    restart: int = 0
    events: tuple[str, ...] = ()

    def tell(self, container: str, restart: int, kind: str, epoch: str, code: str) -> None:
        """Take one `started` or `ended` in; those of an earlier run than one we know of are history."""
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
        """Whether every container has told its end."""
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
    """One part of a poll's answer: the exit code of what it shows, and its lines."""

    code: int
    lines: list[str]


def sections(output: bytes, token: str, site: str) -> dict[str, Section]:
    """Cut a poll's answer at its header lines; `Unreachable` unless it is complete (its last section is `end`)."""
    found: dict[str, Section] = {}
    for part in output.decode(errors="replace").split(f"\n{token} ")[1:]:
        header, _, body = part.partition("\n")
        name, _, code = header.partition(" ")
        found[name] = Section(int(code), body.split("\n") if body else [])
    if "end" not in found:
        raise Unreachable(f"The answer from {site} was cut short.")
    return found


def stories(events: Section, outcomes: Section, account: str) -> dict[str, Story]:
    """Key -> story, from the events of running jobs and the outcome files of ended ones."""
    told: dict[str, Story] = defaultdict(Story)
    _tell_events(told, events.lines, account)
    for line in outcomes.lines:
        if line.count("\t") < 4:
            continue
        key, restart, container, kind, text = line.split("\t", 4)
        story = told[key]
        if kind == "staged":
            story.staged.add(container)
        elif kind == "said":
            story.said = text
        elif kind == "reason":
            word, _, sentence = text.partition(" ")
            story.reasons[container] = (word, sentence)
        elif restart.isdigit():
            epoch, _, code = text.partition(" ")
            story.tell(container, int(restart), kind, epoch, code)
    return told


def _tell_events(told: dict[str, Story], lines: list[str], account: str) -> None:
    """`<parent>/` lines, each followed by the names in its events folder."""
    parent = ""
    tokens: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        if line.endswith("/"):
            parent = line
        name = line.split(".")
        if len(name) == 6 and name[1].isdigit() and name[3] in {"started", "ended"}:
            key, restart, container, kind, epoch, code = name
            told[key].tell(container, int(restart), kind, epoch, code)
            tokens[key].append(f"{account}:{parent}events/{line}")
    for key, names in tokens.items():
        told[key].events = tuple(names)


def recorded_of(account: str, recorded: Sequence[str]) -> bytes:
    """The tokens of this account as paths for `forget_events`. What is not of their form is not ours to remove."""
    prefix = f"{account}:"
    paths = (token.removeprefix(prefix) for token in recorded if token.startswith(prefix))
    return b"".join(path.encode() + b"\0" for path in paths if "/events/" in path and ".." not in path.split("/"))
