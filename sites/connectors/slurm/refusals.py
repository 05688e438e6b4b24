"""What sbatch says when it takes no job: never, or not now. Told by its words, as its exit code is always 1. Pure."""

from __future__ import annotations

import re

from sites.connectors.base import InDoubt, Rejected

# Slurm itself is not there, or its commands are not where the site's settings say.
SILENT = ("nable to contact slurm controller", "failed to run command", "command not found")

# Nothing is wrong with the job: another attempt may follow.
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
    """sbatch's refusal: of this job for good, or of any job for the time being (its attempt has been fenced)."""
    parts = (re.sub(r"(error|fatal|Batch job submission failed): ", "", part) for part in output.split("sbatch: "))
    said = "; ".join(filter(None, map(str.strip, parts))) or "sbatch failed without a word"
    if any(sign in output for sign in LATER):
        return InDoubt(f"Slurm takes no job now: {said}.")
    reason = next((reason for sign, reason in REFUSALS if sign in output), "SiteRejected")
    return Rejected(f"Slurm refused the job: {said}.", reason=reason)


def is_silence(output: str) -> bool:
    """Whether Slurm has not answered at all."""
    return any(sign in output for sign in SILENT)
