"""Tells sbatch's permanent refusals from temporary ones by their words, because its exit code is always 1. Pure."""

from __future__ import annotations

import re

from sites.connectors.base import InDoubt, Rejected

# Slurm is down, or its commands are not where the site's settings say.
SILENT = ("nable to contact slurm controller", "failed to run command", "command not found")

# The job itself is fine, and another attempt may follow.
LATER = (
    "emporarily unable",
    "emporarily unavailable",
    "MaxSubmit",
    "SubmitJob",
    "queue full",
    "uthentication",
    "munge",
    "Required partition not available",
    "slurmdbd",
    "o space left",
    "riting script",
    *SILENT,
)

REFUSALS = (
    ("nvalid partition", "InvalidPartition"),
    ("nvalid account", "InvalidAccount"),
    ("nvalid qos", "InvalidQOS"),
    ("nvalid generic resource", "InvalidGres"),
    ("time limit is invalid", "InvalidTimeLimit"),
    ("nvalid --time", "InvalidTimeLimit"),
    ("node configuration is not available", "ImpossibleRequest"),
    ("emory", "ImpossibleRequest"),
    ("ode count", "ImpossibleRequest"),
    ("ore processors requested", "ImpossibleRequest"),
    ("ccounting/QOS policy", "LimitExceeded"),
    ("ccess/permission denied", "NotPermitted"),
    ("not permitted", "NotPermitted"),
)


def refusal(output: str) -> Rejected | InDoubt:
    """Return `Rejected` if sbatch refuses this job for good, `InDoubt` if it takes no job now (attempt fenced)."""
    parts = (re.sub(r"(error|fatal|Batch job submission failed): ", "", part) for part in output.split("sbatch: "))
    message = "; ".join(filter(None, map(str.strip, parts))) or "sbatch failed without a message"
    if any(sign in output for sign in LATER):
        return InDoubt(f"Slurm takes no job now: {message}.")
    reason = next((reason for sign, reason in REFUSALS if sign in output), "SiteRejected")
    return Rejected(f"Slurm refused the job: {message}.", reason=reason)


def is_silence(output: str) -> bool:
    """Whether sbatch's output means that Slurm itself did not answer."""
    return any(sign in output for sign in SILENT)
