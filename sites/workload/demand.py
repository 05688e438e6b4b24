"""What one job requests from a scheduler. Only sites/policy.py makes it.

Limits, counters, the API and every connector use it, so it is free of Django.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Demand:
    """The size of a job and where it goes.

    tasks: over all nodes. memory_per_node: bytes; 0: the site decides. gpus_per_node: kind -> number, "" for GPUs of
    any kind; kinds as the pod writes them. time_limit: seconds; None until the job is granted one. partition: one name,
    or several separated by commas; "": the site decides. qos: the scheduler's quality of service; "": the account's
    default. flavor: the name of the flavor that gave missing figures, for display. is_granted: the job has started with
    it; until then it is what the pod requests.
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
    is_granted: bool = False

    @property
    def cpus(self) -> int:
        """CPUs over all nodes."""
        return self.tasks * self.cpus_per_task

    @property
    def memory(self) -> int:
        """Bytes over all nodes; 0: the site decides."""
        return self.nodes * self.memory_per_node

    @property
    def gpus(self) -> int:
        """GPUs over all nodes, of any kind."""
        return self.nodes * sum(self.gpus_per_node.values())

    @property
    def gpu_kind(self) -> str:
        """The kind of the job's GPUs in lower case, as in allocations; "" for any kind. A job has one kind only."""
        return next((kind.lower() for kind in self.gpus_per_node), "")

    def as_json(self) -> dict[str, Any]:
        """Return the fields by name, for `from_json`."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild a demand from the values of `as_json`.

        Names that a later release has added are ignored, so that one can go back from it.
        """
        known = {each.name for each in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})
