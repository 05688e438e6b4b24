"""Answers /pinglink: the size of a virtual node, and during an outage the last answer.

The interLink virtual kubelet writes the answer into the node's capacity as it is, and a node whose ping fails is
NotReady at once. So a figure is zero only where the node is disabled, or its allocation is revoked, has expired or
allows nothing of it. While PostgreSQL is away, the same token gets its last answer again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson
from django.conf import settings
from django.core.cache import cache
from django.db import connection
from django.utils import timezone
from redis.exceptions import RedisError

from controlplane.remembered import Remembered
from jobs.placement.routes import SOURCES
from sites.models import Partition, Route

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GPU = "nvidia.com/gpu"
_UNITS = (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))
#: The last answer to each token, by the token's digest.
_answers: Remembered[bytes, bytes] = Remembered(at_most=20_000)

# The node, whether it and its tenant are enabled, and the limits of its allocation. There is always one row.
_NODE = f"""
    SELECT node.enabled AND tenant.enabled AND coalesce(
               allocation.enabled AND (allocation.valid_until IS NULL OR allocation.valid_until > %(now)s), true),
           node.cpus, node.memory, node.pods, node.accelerators,
           allocation.cpus, allocation.memory, allocation.pods, coalesce(allocation.gpus, '{{}}'::jsonb),
           coalesce(allocation.partitions, '{{}}')
    FROM {SOURCES}
    WHERE node.id = %(node)s
"""  # noqa: S608  (the routes that pods take, from our own module)


class Shape(NamedTuple):
    """The stored figures of a node's size: its own, and the limits of its tenant's allocation at its site.

    is_on: the node and its tenant are enabled, and the allocation, if there is one, is not revoked or expired.
    """

    is_on: bool
    own_cpus: int | None
    own_memory: int | None
    own_pods: int | None
    own_accelerators: dict[str, int]
    cpus: int | None
    memory: int | None
    pods: int | None
    gpus: dict[str, int]
    partitions: list[str]


def body(node_id: int) -> bytes:
    """The body of the answer for this node, from our rows, in two statements. It calls no site."""
    with connection.cursor() as cursor:
        cursor.execute(_NODE, {"node": node_id, "now": timezone.now()})
        row = cursor.fetchone()
    # Django's bare cursor gives JSON as text.
    shape = Shape(*(orjson.loads(value) if isinstance(value, str) else value for value in row))
    partitions = Partition.objects.filter(site__in=Route.objects.filter(node_id=node_id).values("site"))
    return orjson.dumps({"status": "ok", "resources": resources(shape, list(partitions))})


def resources(shape: Shape, partitions: Iterable[Partition]) -> dict[str, Any]:
    """The node's resources: the node's own figure, else the site's, else the allocation's limit, else a default.

    No figure is more than the allocation's limit. The site's figure is the sum over the allowed partitions that are up.
    It is the capacity, not what is free: Kubernetes subtracts its own pods. A node of the site in several partitions
    counts several times, since sites do not report which these are. A zero would drain the virtual node, so there is
    none where no partition is up or known, or the allocation is missing or has not begun: then the pods are held, with
    a reason.
    """
    allowed = [each for each in partitions if not shape.partitions or each.name in shape.partitions]
    counted = [each for each in allowed if each.up] or allowed
    cpus = _figure(shape.own_cpus, shape.cpus, sum(each.cpus for each in counted), settings.NODE_CPUS)
    memory = _figure(shape.own_memory, shape.memory, sum(each.memory for each in counted), settings.NODE_MEMORY)
    pods = _figure(shape.own_pods, shape.pods, 0, settings.NODE_PODS)
    # The node's own accelerators have Kubernetes' names, which do not match the kinds of GPUs in limits.
    own = {kind: min(number, shape.gpus.get("", number)) for kind, number in shape.own_accelerators.items()}
    accelerators = own or _gpus(counted, shape.gpus)
    on = int(shape.is_on)
    return {
        "cpu": str(cpus * on),
        "memory": kubernetes_quantity(memory * on),
        "pods": str(pods * on),
        "accelerators": [
            {"resourceType": kind, "available": str(number * on)} for kind, number in sorted(accelerators.items())
        ],
    }


def _figure(own: int | None, limit: int | None, known: int, default: int) -> int:
    """One figure of the node. known: the site's figure, 0 where it is not known."""
    size = own or known
    if limit is None:
        return size or default
    return min(limit, size or limit)


def kubernetes_quantity(size: int) -> str:
    """A number of bytes as Kubernetes writes it, in the largest unit that gives a whole number."""
    for unit, factor in _UNITS:
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def _gpus(partitions: Iterable[Partition], limits: Mapping[str, int]) -> dict[str, int]:
    """The node's GPUs: those of the site, each kind within its own limit, and the sum within the limit of any kind.

    Where nothing is known of the site, the limits are the answer.
    """
    known = list(partitions)
    kinds = {} if known else {kind: number for kind, number in limits.items() if kind} or {"": limits.get("", 0)}
    for partition in known:
        for kind, number in partition.gpus.items():
            kinds[kind.lower()] = kinds.get(kind.lower(), 0) + number
    number = sum(min(number, limits.get(kind, number)) if kind else number for kind, number in kinds.items())
    number = min(number, limits.get("", number))
    return {GPU: number} if any(kinds.values()) else {}


def remember(digest: bytes, text: bytes) -> None:
    """Keeps the answer to this token for INTERLINK_PING_MEMORY seconds, in this process and for others in Redis."""
    _answers.put(digest, text, seconds=settings.INTERLINK_PING_MEMORY)
    try:
        cache.set(_name(digest), text, settings.INTERLINK_PING_MEMORY)
    except RedisError:
        return  # Redis is optional: this process remembers the answer itself


def recall(digest: bytes) -> bytes | None:
    """The last answer to this token; None if there is none or it is too old."""
    if text := _answers.get(digest):
        return text
    try:
        shared: bytes | None = cache.get(_name(digest))
    except RedisError:
        return None
    return shared


def _name(digest: bytes) -> str:
    return f"ping:{digest.hex()}"
