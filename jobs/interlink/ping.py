"""What a virtual node tells Kubernetes of its size, and the memory of it for an outage.

Source of the rules: the interLink virtual kubelet writes the answer into the node's capacity literally, and a node
whose ping fails turns NotReady at once. So zeros only for a disabled node, and while PostgreSQL is away the last answer
to the same token.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import orjson
from django.conf import settings
from django.core.cache import cache
from redis.exceptions import RedisError

from controlplane.tenants.models import VirtualNode
from sites.models import Partition, Route

if TYPE_CHECKING:
    from collections.abc import Iterable

GPU = "nvidia.com/gpu"
_UNITS = (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10))
_REMEMBERED_AT_MOST = 20_000


def answer(node_id: int) -> bytes:
    """The body of /pinglink's answer for this node, from our own rows."""
    node = VirtualNode.objects.get(pk=node_id)
    partitions = Partition.objects.filter(site__in=Route.objects.filter(node=node).values("site"))
    return orjson.dumps({"status": "ok", "resources": resources(node, list(partitions))})


def resources(node: VirtualNode, partitions: Iterable[Partition]) -> dict[str, Any]:
    """The node's own figures, else the sum over the site's partitions that are up, else defaults.

    Capacity, not what is free: Kubernetes subtracts its own pods. A site of which nothing is up, or known yet, is no
    reason for a zero, which would drain the node: its pods are held and say why.
    """
    known = list(partitions)
    counted = [partition for partition in known if partition.up] or known
    cpus = node.cpus or sum(each.cpus for each in counted) or settings.NODE_CPUS
    memory = node.memory or sum(each.memory for each in counted) or settings.NODE_MEMORY
    pods = node.pods or settings.NODE_PODS
    accelerators = node.accelerators or _gpus(counted)
    on = int(node.enabled)
    return {
        "cpu": str(cpus * on),
        "memory": quantity(memory * on),
        "pods": str(pods * on),
        "accelerators": [
            {"resourceType": kind, "available": str(number * on)} for kind, number in sorted(accelerators.items())
        ],
    }


def quantity(size: int) -> str:
    """Bytes as Kubernetes writes them, in the largest unit that gives a whole number."""
    for unit, factor in _UNITS:
        if size and size % factor == 0:
            return f"{size // factor}{unit}"
    return str(size)


def _gpus(partitions: Iterable[Partition]) -> dict[str, int]:
    number = sum(number for partition in partitions for number in partition.gpus.values())
    return {GPU: number} if number else {}


class PingMemory:
    """The last answer to each token for INTERLINK_PING_MEMORY seconds, here and in Redis for the other processes."""

    def __init__(self) -> None:
        self._answers: dict[bytes, tuple[float, bytes]] = {}

    def remember(self, digest: bytes, text: bytes) -> None:
        """Keep it here always, and in Redis when Redis answers."""
        if len(self._answers) >= _REMEMBERED_AT_MOST:
            self._answers.clear()
        self._answers[digest] = (time.monotonic(), text)
        try:
            cache.set(_name(digest), text, settings.INTERLINK_PING_MEMORY)
        except RedisError:
            return  # a convenience: this process remembers by itself

    def recall(self, digest: bytes) -> bytes | None:
        """The last answer, None if there is none or it is too old."""
        at, text = self._answers.get(digest, (0.0, b""))
        if text and time.monotonic() - at < settings.INTERLINK_PING_MEMORY:
            return text
        try:
            shared: bytes | None = cache.get(_name(digest))
        except RedisError:
            return None
        return shared


#: The one of this process.
memory = PingMemory()


def _name(digest: bytes) -> str:
    return f"ping:{digest.hex()}"
