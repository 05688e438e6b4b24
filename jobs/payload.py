"""Stores the body of /create: its four parts, compressed where that helps, encrypted and bound to the job's row."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Any

import orjson

from controlplane import secrets
from controlplane.errors import BadRequest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jobs.models import Job

PARTS = ("pod", "configmaps", "secrets", "projectedvolumesmaps")
_PLAIN, _DEFLATED = b"\0", b"\1"
#: Bytes from which compression saves more than it costs a create.
_WORTH_DEFLATING = 4096


class Erased(Exception):
    """The job has ended, and its request was erased with it."""


def seal_request(body: Mapping[str, Any], *, tenant_id: int, key: str) -> bytes:
    """The encrypted parts of a /create body, bound to the job with this tenant and random key.

    Raises BadRequest for JSON that is nested too deep to be written again.
    """
    try:
        plain = orjson.dumps({part: body.get(part) for part in PARTS})
    except orjson.JSONEncodeError:
        raise BadRequest("The pod is nested deeper than any that Kubernetes takes.") from None
    packed = _PLAIN + plain if len(plain) < _WORTH_DEFLATING else _DEFLATED + zlib.compress(plain, level=1)
    return secrets.seal(packed, bound_to=_row(tenant_id, key))


def read_request(job: Job) -> dict[str, Any]:
    """Decrypts the parts: {"pod", "configmaps", "secrets", "projectedvolumesmaps"}.

    Raises Erased after the job's end, and secrets.Unsealable where the key or the row does not fit.
    """
    if job.request is None:
        raise Erased(f"The request of job {job.pk} was erased at its end.")
    packed = secrets.unseal(bytes(job.request), bound_to=_row(job.tenant_id, job.key))
    plain = zlib.decompress(packed[1:]) if packed[:1] == _DEFLATED else packed[1:]
    parts: dict[str, Any] = orjson.loads(plain)
    return parts


def reseal_request(job: Job) -> bool:
    """Encrypts the stored request with the ring's first key. Returns whether it changed; the caller saves.

    Raises Unsealable where it cannot be decrypted.
    """
    fresh = secrets.reseal(bytes(job.request), bound_to=_row(job.tenant_id, job.key)) if job.request else None
    job.request = fresh or job.request
    return fresh is not None


def _row(tenant_id: int, key: str) -> str:
    return f"jobs_job.request:{tenant_id}:{key}"
