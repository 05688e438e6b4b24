"""Why a job of ours waits, or how it ended: each word that we write, with its sentence for people.

A word stands in the `reason` of a job, for people and programs to read. Nothing decides on it. What a site says (the
words of its scheduler, of its connector's refusals and reports) stands in the same column and is not listed here.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Reason(StrEnum):
    """One CamelCase word. The value goes to the pod's status and into the API."""

    NO_ROUTE = "NoRoute"
    NODE_DISABLED = "NodeDisabled"
    TENANT_DISABLED = "TenantDisabled"
    SITE_DRAINING = "SiteDraining"
    SITE_SILENT = "SiteSilent"
    NO_ALLOCATION = "NoAllocation"
    ALLOCATION_NOT_YET_VALID = "AllocationNotYetValid"
    ALLOCATION_EXPIRED = "AllocationExpired"
    ALLOCATION_REVOKED = "AllocationRevoked"
    NOT_ALLOWED = "NotAllowed"
    QUOTA_EXCEEDED = "QuotaExceeded"
    IN_DOUBT = "InDoubt"
    RESUBMITTING = "Resubmitting"

    INVALID_POD = "InvalidPod"
    ERROR = "Error"
    BATCH_JOB_FAILED = "BatchJobFailed"
    CANCELLED_AT_SITE = "CancelledAtSite"
    LOST = "Lost"
    LOST_REAPPEARED = "LostReappeared"
    CANCELLED = "Cancelled"
    CANCELLED_BY_OPERATOR = "CancelledByOperator"
    DELETED = "Deleted"
    ORPHANED = "Orphaned"
    DEMO_STOPPED = "DemoStopped"


MEANING: dict[Reason, str] = {
    Reason.NO_ROUTE: "The virtual node has no route to a site yet.",
    Reason.NODE_DISABLED: "The virtual node is disabled.",
    Reason.TENANT_DISABLED: "The tenant is disabled.",
    Reason.SITE_DRAINING: "The site takes no new work at the moment.",
    Reason.SITE_SILENT: "The site does not answer.",
    Reason.NO_ALLOCATION: "The tenant has no allocation at the site.",
    Reason.ALLOCATION_NOT_YET_VALID: "The tenant's allocation has not begun yet.",
    Reason.ALLOCATION_EXPIRED: "The tenant's allocation has expired.",
    Reason.ALLOCATION_REVOKED: "The tenant's allocation was revoked.",
    Reason.NOT_ALLOWED: "The allocation does not allow the pod's partition or flavor.",
    Reason.QUOTA_EXCEEDED: "A limit of the tenant's allocation is used up, or others go first.",
    Reason.IN_DOUBT: "The site has not said yet whether it took the job.",
    Reason.RESUBMITTING: "The site did not take the job; it is submitted again.",
    Reason.INVALID_POD: "The pod cannot be run as it was written.",
    Reason.ERROR: "A container ended with an exit code other than 0.",
    Reason.BATCH_JOB_FAILED: "The site says that the batch job failed, and no container told how it ended.",
    Reason.CANCELLED_AT_SITE: "Somebody at the site cancelled the batch job.",
    Reason.LOST: "The site did not know the job for so long that it was given up.",
    Reason.LOST_REAPPEARED: "The job was given up, and its site knew it again later. It was cancelled.",
    Reason.CANCELLED: "Cancelled on request.",
    Reason.CANCELLED_BY_OPERATOR: "Cancelled by an operator.",
    Reason.DELETED: "The pod was deleted in its cluster.",
    Reason.ORPHANED: "The pod's kubelet stopped asking after it.",
    Reason.DEMO_STOPPED: "The demo was stopped.",
}


@dataclass(frozen=True)
class Waits:
    """Why a job waits.

    reason: a `Reason`, or what stands in a job's row already. message: a sentence for the pod's owner. until: when the
    wait ends by itself, None where that is not known.
    """

    reason: str
    message: str
    until: datetime | None = None


def table() -> str:
    """Every word with its meaning, as rows of Markdown."""
    return "\n".join(f"| `{reason}` | {MEANING[reason]} |" for reason in Reason)
