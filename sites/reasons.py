"""The words that we write into a job's `reason`: why it waits or how it ended, each with a sentence for people.

People and programs read the reason; no code decides by it. The same column also holds words of sites (of their
schedulers and connectors), which are not listed here.
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
    Reason.BATCH_JOB_FAILED: "The site says that the batch job failed, and no container reported an exit code.",
    Reason.CANCELLED_AT_SITE: "Somebody at the site cancelled the batch job.",
    Reason.LOST: "The site no longer knew the job, and Isthmus gave it up.",
    Reason.LOST_REAPPEARED: "Isthmus had given the job up; its site reported it again later, and it was cancelled.",
    Reason.CANCELLED: "Cancelled on request.",
    Reason.CANCELLED_BY_OPERATOR: "Cancelled by an operator.",
    Reason.DELETED: "The pod was deleted in its cluster.",
    Reason.ORPHANED: "The pod's kubelet stopped asking for its status.",
    Reason.DEMO_STOPPED: "The demo was stopped.",
}


@dataclass(frozen=True)
class Waits:
    """Why a job waits.

    reason: a `Reason`, or the word that the job's row holds. message: a sentence for the pod's owner. until: when the
    wait ends by itself, None if unknown.
    """

    reason: str
    message: str
    until: datetime | None = None


def markdown_rows() -> str:
    """Return all words with their meanings, as rows of a Markdown table."""
    return "\n".join(f"| `{reason}` | {MEANING[reason]} |" for reason in Reason)
