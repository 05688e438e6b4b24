"""What an allocation allows, what is in use, and whether a request fits. Pure: callers pass in rows and times.

Figures map a name to a number: `pods`, `cpus`, `memory` (bytes), `gpus` (of any kind), `gpus a100` (of that kind),
`cpu_seconds` and `gpu_seconds` (of the budget). A missing limit means unlimited, within what the columns hold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sites.models import Allocation
from sites.reasons import Reason, Waits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sites.workload import Demand

Figures = dict[str, int]
BUDGET = frozenset({"cpu_seconds", "gpu_seconds"})
#: The most that the columns of an allocation hold; it bounds what has no limit. GPUs are kept as JSON.
_CEILING = {"pods": 2**31 - 1, "cpus": 2**62, "memory": 2**62, "cpu_seconds": 2**62, "gpu_seconds": 2**62}
_HOUR = 3600
_GIB = 2**30


@dataclass(frozen=True)
class Ask:
    """What one job requests, or several jobs together. gpus: kind -> number; "" is a GPU of any kind.

    cpu_seconds, gpu_seconds: what the job reserves of the budget, that is its CPUs or GPUs times its time limit.
    """

    pods: int = 1
    cpus: int = 1
    memory: int = 0
    gpus: Mapping[str, int] = field(default_factory=dict)
    cpu_seconds: int = 0
    gpu_seconds: int = 0

    @property
    def figures(self) -> Figures:
        named = {name: getattr(self, name) for name in ("pods", "cpus", "memory", "cpu_seconds", "gpu_seconds")}
        kinds = {f"gpus {kind}": number for kind, number in self.gpus.items() if kind}
        return {**named, "gpus": sum(self.gpus.values()), **kinds}


@dataclass(frozen=True)
class Short:
    """The limit that a request exceeds. used: what other jobs use; of the budget, what is reserved or spent."""

    limit: str
    used: int
    requested: int
    allowed: int

    @property
    def never(self) -> bool:
        """Whether the request would exceed the limit even if nothing else were in use."""
        return self.requested > self.allowed


def ask_of(demand: Demand) -> Ask:
    """Return what one job requests. Without a time limit it reserves nothing of the budget."""
    seconds = demand.time_limit or 0
    return Ask(
        cpus=demand.cpus,
        memory=demand.memory,
        gpus={demand.gpu_kind: demand.gpus} if demand.gpus else {},
        cpu_seconds=demand.cpus * seconds,
        gpu_seconds=demand.gpus * seconds,
    )


def allowed(allocation: Allocation) -> Figures:
    """Return the allocation's limits; the budget is in seconds for one period."""
    found: dict[str, int | None] = {name: getattr(allocation, name) for name in ("pods", "cpus", "memory")}
    found |= {f"gpus {kind}".rstrip(): number for kind, number in allocation.gpus.items()}
    for hours, name in ((allocation.cpu_hours, "cpu_seconds"), (allocation.gpu_hours, "gpu_seconds")):
        found[name] = None if hours is None else hours * _HOUR
    return {name: number for name, number in found.items() if number is not None}


def used(allocation: Allocation, *, now: datetime) -> Figures:
    """Return what is in use; of this period's budget, what is spent or reserved."""
    is_current = allocation.period_began is None or allocation.period_began == period(allocation, now=now)[0]
    spent_cpu = allocation.spent_cpu_seconds if is_current else 0
    spent_gpu = allocation.spent_gpu_seconds if is_current else 0
    return {
        "pods": allocation.used_pods,
        "cpus": allocation.used_cpus,
        "memory": allocation.used_memory,
        **{f"gpus {kind}".rstrip(): number for kind, number in allocation.used_gpus.items()},
        "cpu_seconds": allocation.reserved_cpu_seconds + spent_cpu,
        "gpu_seconds": allocation.reserved_gpu_seconds + spent_gpu,
    }


def shortfall(allowed: Mapping[str, int], used: Mapping[str, int], ask: Ask) -> Short | None:
    """Return the first limit that the request would exceed, or None."""
    bounds = {**_CEILING, **allowed}
    for name, requested in ask.figures.items():
        if requested and name in bounds and used.get(name, 0) + requested > bounds[name]:
            return Short(name, used.get(name, 0), requested, bounds[name])
    kinds = {name: number for name, number in allowed.items() if name.startswith("gpus ")}
    if "gpus" in allowed or not kinds:
        return None
    # Only kinds are limited. A GPU without a kind may be of any of them, so together they must stay within the sum.
    most, in_use, more = sum(kinds.values()), _gpus_among(kinds, used), _gpus_among(kinds, ask.figures)
    return Short("gpus", in_use, more, most) if more and in_use + more > most else None


def never_fits(allowed: Mapping[str, int], ask: Ask) -> Short | None:
    """Return the first limit that the request would exceed even if nothing else were in use, or None."""
    return shortfall(allowed, {}, ask)


def _gpus_among(kinds: Mapping[str, int], figures: Mapping[str, int]) -> int:
    """Count the GPUs that are, or may be, of one of these kinds."""
    others = sum(number for name, number in figures.items() if name.startswith("gpus ") and name not in kinds)
    return figures.get("gpus", 0) - others


def plus(used: Mapping[str, int], ask: Ask) -> Figures:
    """Return what is in use after the request is granted."""
    figures = ask.figures
    return {name: used.get(name, 0) + figures.get(name, 0) for name in {**used, **figures}}


def period(allocation: Allocation, *, now: datetime) -> tuple[datetime, datetime | None]:
    """Return when the budget's current period began and when the next one begins; None: it never renews.

    Calendar periods are in UTC. A budget for the whole validity has one period: the validity.
    """
    now = now.astimezone(UTC)
    month = {"month": now.month, "quarter": (now.month - 1) // 3 * 3 + 1, "year": 1}.get(allocation.period)
    if month is None:
        return allocation.valid_from, allocation.valid_until
    length = {"month": 1, "quarter": 3, "year": 12}[allocation.period]
    begin = datetime(now.year, month, 1, tzinfo=UTC)
    last = month - 1 + length
    return begin, datetime(now.year + last // 12, last % 12 + 1, 1, tzinfo=UTC)


def not_valid(allocation: Allocation | None, *, tenant: str, site: str, now: datetime) -> Waits | None:
    """Return why no job starts under this allocation; None while it is valid. tenant, site: their names."""
    if allocation is None:
        message = f"{tenant} has no allocation at {site} yet; a manager of {tenant} can ask for one."
        return Waits(Reason.NO_ALLOCATION, message)
    about = f"The allocation of {tenant} at {site}"
    if not allocation.enabled:
        return Waits(Reason.ALLOCATION_REVOKED, f"{about} was revoked; ask the operators of {site}.")
    if allocation.valid_until is not None and allocation.valid_until <= now:
        message = f"{about} expired on {day(allocation.valid_until)}; a manager of {tenant} can ask for an extension."
        return Waits(Reason.ALLOCATION_EXPIRED, message)
    if allocation.valid_from > now:
        begins = allocation.valid_from
        return Waits(Reason.ALLOCATION_NOT_YET_VALID, f"{about} begins at {moment(begins)}.", begins)
    return None


def sentence(short: Short, *, tenant: str, site: str, frees: str = "") -> str:
    """Return a message that names the limit, the use and the request. frees: a sentence on when the use goes down."""
    requested, allowed = quantity(short.limit, short.requested), quantity(short.limit, short.allowed)
    if short.never:
        every = " for each period" if short.limit in BUDGET else " at once"
        return (
            f"The pod asks for {requested}, and {tenant} may use no more than {allowed}{every} at {site}: "
            f"ask for less, or a manager of {tenant} can ask for more."
        )
    used, more = (quantity(short.limit, number).partition(" ")[0] for number in (short.used, short.requested))
    verb = "has spent or reserved" if short.limit in BUDGET else "uses"
    return f"{tenant} {verb} {used} of {allowed} at {site}, and the pod asks for {more}. {frees}".rstrip()


def frees(short: Short, allocation: Allocation, *, running: int, first_end: datetime | None, now: datetime) -> str:
    """Return a sentence on when the use of this limit goes down.

    running: how many jobs of the allocation run. first_end: when the first of their time limits ends, None if unknown.
    """
    if short.limit in BUDGET:
        renews = period(allocation, now=now)[1]
        if allocation.period == Allocation.Period.WHOLE or renews is None:
            return "The budget does not renew; pods that end return what they reserved and did not use."
        return f"The budget renews on {day(renews)}; pods that end return what they reserved and did not use."
    if not running or first_end is None:
        return "It frees when one of the pods at the site ends."
    if first_end <= now:
        return "The first of the running pods is past its time limit and about to end."
    first = "The running pod" if running == 1 else f"The first of the {running} running pods"
    return f"{first} ends at {moment(first_end)} at the latest."


def quantity(limit: str, number: int) -> str:
    """Write a figure for people: `12 pods`, `40 GiB of memory`, `2 a100 GPUs`, `12.5 CPU-hours`."""
    name, _, kind = limit.partition(" ")
    match name:
        case "memory":
            return f"{_decimal(number / _GIB)} GiB of memory"
        case "cpu_seconds":
            return f"{_decimal(number / _HOUR)} CPU-hours"
        case "gpu_seconds":
            return f"{_decimal(number / _HOUR)} GPU-hours"
        case _:
            noun = {"pods": "pods", "cpus": "CPUs", "gpus": f"{kind} GPUs".lstrip()}[name]
            return f"{number} {noun.removesuffix('s') if number == 1 else noun}"


def moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def day(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d}"


def _decimal(number: float) -> str:
    return f"{number:.2f}".rstrip("0").rstrip(".")


def gpus_in_use(figures: Mapping[str, Any]) -> dict[str, int]:
    """Return these figures as `Allocation.used_gpus`: kind -> number, without the kinds that nobody uses."""
    kinds = {name.removeprefix("gpus").strip(): number for name, number in figures.items() if name.startswith("gpus")}
    return {kind: number for kind, number in kinds.items() if number}
