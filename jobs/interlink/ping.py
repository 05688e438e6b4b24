"""What a virtual node tells Kubernetes of its size, and the memory of it for an outage.

Source of the rules: the interLink virtual kubelet writes the answer into the node's capacity literally, and a node
whose ping fails turns NotReady at once. So zeros only for a disabled node and for an allocation that is revoked or has
expired (or allows none of the thing at all), and while PostgreSQL is away the last answer to the same token.
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

# The node, whether its tenant may do anything, and what of its allocation shapes it: one row, whatever there is.
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
    """What is on record of a node's size: its own figures, and the limits of its tenant's allocation at its site.

    is_on: neither node nor tenant is disabled, and the allocation, if there is one, neither revoked nor expired.
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
    """The body of /pinglink's answer for this node, from our own rows: two statements, and no site is asked."""
    with connection.cursor() as cursor:
        cursor.execute(_NODE, {"node": node_id, "now": timezone.now()})
        row = cursor.fetchone()
    # The cursor is a bare one: its JSON comes as text.
    shape = Shape(*(orjson.loads(value) if isinstance(value, str) else value for value in row))
    partitions = Partition.objects.filter(site__in=Route.objects.filter(node_id=node_id).values("site"))
    return orjson.dumps({"status": "ok", "resources": resources(shape, list(partitions))})


def resources(shape: Shape, partitions: Iterable[Partition]) -> dict[str, Any]:
    """Each figure, within the allocation's limit: the node's own, else the site's, else that limit, else a default.

    The site's is the sum over its partitions that are up, of those that the allocation allows. Capacity, not what is
    free: Kubernetes subtracts its own pods. Nodes in several partitions count several times: no site tells which. A
    site of which nothing is up, or known yet, is no reason for a zero, which would drain the node: its pods are held
    and say why. Nor is an allocation that is not there yet or has not begun.
    """
    allowed = [each for each in partitions if not shape.partitions or each.name in shape.partitions]
    counted = [each for each in allowed if each.up] or allowed
    cpus = _figure(shape.own_cpus, shape.cpus, sum(each.cpus for each in counted), settings.NODE_CPUS)
    memory = _figure(shape.own_memory, shape.memory, sum(each.memory for each in counted), settings.NODE_MEMORY)
    pods = _figure(shape.own_pods, shape.pods, 0, settings.NODE_PODS)
    # The node's own are under Kubernetes' names, which say nothing of the kinds that limits are for.
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
    """known: the site's own figure, 0 where it is not known."""
    size = own or known
    if limit is None:
        return size or default
    return min(limit, size or limit)


def kubernetes_quantity(size: int) -> str:
    """Bytes as Kubernetes writes them, in the largest unit that gives a whole number."""
    for unit, factor in _UNITS:
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def _gpus(partitions: Iterable[Partition], limits: Mapping[str, int]) -> dict[str, int]:
    """Of each kind what the site has within the limit of that kind, all together within that of any kind.

    Of a site of which nothing is known the limits tell.
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
    """Keep the answer to this token for INTERLINK_PING_MEMORY seconds: here, and for other processes in Redis."""
    _answers.put(digest, text, seconds=settings.INTERLINK_PING_MEMORY)
    try:
        cache.set(_name(digest), text, settings.INTERLINK_PING_MEMORY)
    except RedisError:
        return  # a convenience: this process remembers by itself


def recall(digest: bytes) -> bytes | None:
    """The last answer to this token, None if there is none or it is too old."""
    if text := _answers.get(digest):
        return text
    try:
        shared: bytes | None = cache.get(_name(digest))
    except RedisError:
        return None
    return shared


def _name(digest: bytes) -> str:
    return f"ping:{digest.hex()}"
