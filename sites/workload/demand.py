"""What one job asks of a scheduler. It is settled once (sites/policy.py); what is judged is counted, shown, submitted.

Free of Django, known to every connector.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Demand:
    """The size of a job and where it goes.

    tasks: over all nodes. memory_per_node: bytes, 0 leaves it to the site. gpus_per_node: kind -> number, "" for GPUs
    of any kind; kinds as the pod writes them. time_limit: seconds, None until the job is granted one. partition: a
    name, or several with commas between; "" leaves it to the site. qos: the scheduler's quality of service, ""
    leaves the account's own. flavor: the name of the flavor that filled in figures, to show.
    """

    nodes: int = 1
    tasks: int = 1
    cpus_per_task: int = 1
    memory_per_node: int = 0
    gpus_per_node: Mapping[str, int] = field(default_factory=dict)
    time_limit: int | None = None
    partition: str = ""
    qos: str = ""
    flavor: str = ""

    @property
    def cpus(self) -> int:
        """Over all nodes."""
        return self.tasks * self.cpus_per_task

    @property
    def memory(self) -> int:
        """Bytes over all nodes, 0 where it is left to the site."""
        return self.nodes * self.memory_per_node

    @property
    def gpus(self) -> int:
        """Over all nodes, of whatever kind."""
        return self.nodes * sum(self.gpus_per_node.values())

    @property
    def gpu_kind(self) -> str:
        """The kind as allocations name it, in lower case; "" for any kind. No job has GPUs of several kinds."""
        return next((kind.lower() for kind in self.gpus_per_node), "")

    def as_json(self) -> dict[str, Any]:
        """What `from_json` reads again: a field of this class each."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Ignores what a later release has written beside these fields, so that one can go back from it."""
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})
