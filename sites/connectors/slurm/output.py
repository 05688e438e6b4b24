"""The output of Slurm's commands -> records. Pure. The programs in programs/ request each of these formats."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sites.workload import PartitionReport

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


@dataclass(frozen=True)
class Row:
    """One batch job, as squeue or sacct prints it. start, end: epoch seconds, or a word such as `N/A` for no time.

    exit_code: 128 + n if signal n ended it; None if the command does not print it. by: the uid that cancelled it.
    """

    native_id: str
    name: str
    state: str
    start: str
    end: str
    nodes: int
    cpus: int
    gpus: int
    reason: str = ""
    exit_code: int | None = None
    by: str = ""


def queue_rows(lines: Iterable[str]) -> Iterator[Row]:
    """Parse `squeue -o '%A|%T|%S|%e|%D|%C|%b|%r|%j'`."""
    for line in lines:
        fields = line.split("|", 8)
        if len(fields) == 9:
            native, state, start, end, nodes, cpus, gres, reason, name = fields
            count = _whole(nodes)
            # For each node: `gres:gpu:a100:2`, `gres/gpu=2`, `gpu:1,license:3`; mostly `N/A`.
            gpus = sum(number for _, number in _gpu_kinds(gres)) if "gpu" in gres else 0
            yield Row(native, name, state, start, end, count, _whole(cpus), gpus * count, reason)


def accounting_rows(lines: Iterable[str]) -> Iterator[Row]:
    """Parse `sacct -X -n -P -o JobIDRaw,State,ExitCode,Start,End,NNodes,NCPUS,AllocTRES,JobName`."""
    for line in lines:
        fields = line.split("|", 8)
        if len(fields) == 9 and fields[0].isdigit():
            native, state_and_uid, code, start, end, nodes, cpus, tres, name = fields
            state, _, by = state_and_uid.partition(" by ")
            # AllocTRES counts all GPUs (`gres/gpu=4`) and, at some sites, each kind again (`gres/gpu:a100=4`).
            counts = {key: _whole(number) for key, _, number in (item.partition("=") for item in tres.split(","))}
            typed = sum(number for key, number in counts.items() if key.startswith("gres/gpu:"))
            yield Row(
                native,
                name,
                state,
                start,
                end,
                _whole(nodes),
                _whole(cpus),
                counts.get("gres/gpu", typed),
                exit_code=exit_of(code),
                by=by,
            )


def exit_codes(lines: Iterable[str]) -> dict[str, int]:
    """Parse `scontrol -o show job` into exit codes by native id."""
    codes: dict[str, int] = {}
    for line in lines:
        fields = dict(field.partition("=")[::2] for field in line.split(" "))
        code = exit_of(fields.get("ExitCode", ""))
        if code is not None:
            codes[fields.get("JobId", "")] = code
    return codes


def exit_of(text: str) -> int | None:
    """Convert Slurm's `<code>:<signal>` to a shell's exit code; None for anything else."""
    code, _, signal = text.partition(":")
    if not (code.isdigit() and signal.isdigit()):
        return None
    return 128 + int(signal) if signal != "0" else int(code)


def partition_reports(lines: Iterable[str]) -> list[PartitionReport]:
    """Parse `sinfo -e -o '%R|%P|%a|%l|%D|%c|%m|%G'`: add up its lines, one for each kind of node, by partition."""
    found: dict[str, PartitionReport] = {}
    for line in lines:
        fields = line.split("|")
        if len(fields) != 8:
            continue
        name, starred, available, limit, nodes, cpus, memory, gres = fields
        count = _whole(nodes)
        known = found.get(name) or PartitionReport(name, 0, 0, 0)
        gpus = dict(known.gpus)
        for kind, number in _gpu_kinds(gres):
            gpus[kind] = gpus.get(kind, 0) + number * count
        found[name] = PartitionReport(
            name,
            nodes=known.nodes + count,
            cpus=known.cpus + count * _whole(cpus),
            memory=known.memory + count * _whole(memory) * 1024 * 1024,
            gpus=tuple(gpus.items()),
            time_limit=time_in_seconds(limit),
            default=starred.endswith("*"),
            up=available == "up",
        )
    return list(found.values())


def time_in_seconds(limit: str) -> int | None:
    """Convert `days-hours:minutes:seconds`, in any of Slurm's short forms, to seconds; None without a limit."""
    days, dash, clock = limit.rpartition("-")
    parts = clock.split(":")
    if not all(part.isdigit() for part in (*parts, days or "0")):
        return None
    if dash:
        parts += ["0"] * (3 - len(parts))
    elif len(parts) == 1:
        parts += ["0"]
    hours, minutes, rest = [0] * (3 - len(parts)) + [int(part) for part in parts]
    return ((int(days or 0) * 24 + hours) * 60 + minutes) * 60 + rest


def _gpu_kinds(gres: str) -> Iterator[tuple[str, int]]:
    for item in gres.split(","):
        words = item.partition("(")[0].replace("/", ":").replace("=", ":").removeprefix("gres:").split(":")
        if words[0] != "gpu":
            continue
        number = int(words.pop()) if words[-1].isdigit() else 1
        yield ":".join(words[1:]), number


def _whole(text: str) -> int:
    """Parse a whole number; 0 for anything else. Slurm marks a lower bound with + (`64+`)."""
    digits = text.rstrip("+")
    return int(digits) if digits.isdigit() else 0
