"""Tables: Slurm's states and reasons -> phases, and sentences that a pod's owner understands. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from sites.workload import Phase


@dataclass(frozen=True)
class End:
    """How an ended batch job looks to Kubernetes. exit_code: None: that of the containers or of the script counts."""

    phase: Phase
    reason: str = ""
    message: str = ""
    exit_code: int | None = None


ENDS = {
    "COMPLETED": End(Phase.SUCCEEDED),
    "FAILED": End(Phase.FAILED),
    "CANCELLED": End(Phase.CANCELLED, "Cancelled", "The batch job was cancelled.", 143),
    "TIMEOUT": End(Phase.FAILED, "DeadlineExceeded", "The batch job reached its time limit and was ended.", 124),
    "DEADLINE": End(Phase.FAILED, "DeadlineExceeded", "The batch job could not finish before its deadline.", 124),
    "OUT_OF_MEMORY": End(Phase.FAILED, "OOMKilled", "The batch job used more memory than it had asked for.", 137),
    "NODE_FAIL": End(Phase.FAILED, "NodeLost", "A node of the batch job failed.", 137),
    "BOOT_FAIL": End(Phase.FAILED, "NodeLost", "A node for the batch job did not start.", 137),
    "PREEMPTED": End(Phase.FAILED, "Preempted", "The batch job made room for one of higher priority.", 143),
    "REVOKED": End(Phase.CANCELLED, "Revoked", "Another cluster of the site took over the batch job.", 143),
    "LAUNCH_FAILED": End(Phase.FAILED, "LaunchFailed", "The site could not launch the batch job.", 128),
}

WAITING = "Waits in the site's queue."
LIVE = {
    "PENDING": (Phase.PENDING, ""),
    "REQUEUED": (Phase.PENDING, "The site has put the batch job back into its queue."),
    "REQUEUE_FED": (Phase.PENDING, "The site has put the batch job back into its queue."),
    "REQUEUE_HOLD": (Phase.PENDING, "Put back into the queue and held: the site's operator must release it."),
    "SPECIAL_EXIT": (Phase.PENDING, "Held by the site after a special exit: its operator must release it."),
    "RESV_DEL_HOLD": (Phase.PENDING, "Held because its reservation was deleted: the site's operator must release it."),
    "CONFIGURING": (Phase.PENDING, "Its nodes are being made ready."),
    "POWER_UP_NODE": (Phase.PENDING, "Its nodes are being switched on."),
    "RUNNING": (Phase.RUNNING, ""),
    "COMPLETING": (Phase.RUNNING, "Slurm is ending it."),
    "STAGE_OUT": (Phase.RUNNING, "Slurm is staging out its data."),
    "SIGNALING": (Phase.RUNNING, ""),
    "RESIZING": (Phase.RUNNING, ""),
    "SUSPENDED": (Phase.RUNNING, "The site has suspended it."),
    "STOPPED": (Phase.RUNNING, "The site has stopped it."),
    "UPDATE_DB": (Phase.RUNNING, ""),
}

# Why a batch job waits. A key that ends with * matches every reason that begins with it.
REASONS = {
    "Priority": "Other jobs in the queue have higher priority.",
    "Resources": "Waits for free nodes.",
    "None": WAITING,
    "Dependency": "Waits for another batch job.",
    "DependencyNeverSatisfied": "Waits for a batch job that did not end as required: cancel it.",
    "BeginTime": "Waits for its time to begin.",
    "Cleaning": "Its previous run is being cleaned up.",
    "Licenses": "Waits for a licence.",
    "JobArrayTaskLimit": "The limit of running jobs of its array is reached.",
    "JobHeldAdmin": "Held by the site's operator.",
    "JobHeldUser": "Held by its user: release or cancel it.",
    "JobLaunchFailure": "Could not be launched: the site's operator must look at it.",
    "NonZeroExitCode": "Ended with an exit code that is not 0.",
    "Prolog": "The site's prolog runs.",
    "PartitionDown": "Its partition is down.",
    "PartitionInactive": "Its partition takes no jobs now.",
    "PartitionNodeLimit": "Asks for more nodes than its partition gives: cancel it and ask for fewer.",
    "PartitionTimeLimit": "Asks for more time than its partition gives: cancel it and ask for less.",
    "PartitionConfig": "Its partition cannot run it as requested: cancel it and ask for less.",
    "BadConstraints": "No node of the site can ever run it: cancel it and ask for less.",
    "ReqNodeNotAvail*": "The nodes it needs are down, drained or reserved.",
    "NodeDown": "A node it needs is down.",
    "InvalidAccount": "Its account at the site is not valid: ask the site's operator.",
    "InvalidQOS": "Its quality of service is not valid at the site: ask the site's operator.",
    "AccountNotAllowed": "Its account may not use this partition.",
    "QOSNotAllowed": "Its quality of service may not use this partition.",
    "Reservation": "Waits for its reservation.",
    "ReservationDeleted": "Its reservation was deleted: cancel it.",
    "QOSMax*": "A limit of its quality of service for each user or job is reached.",
    "QOSGrp*": "A limit of its quality of service is used up.",
    "QOS*": "A limit of its quality of service is reached.",
    "AssocGrp*": "The limit of its account at the site is used up.",
    "AssocMax*": "A limit of its account at the site for each user or job is reached.",
    "Assoc*": "A limit of its account at the site is reached.",
    "MaxCpuPerAccount": "The limit of CPUs of its account is reached.",
    "MaxMemPerLimit": "Asks for more memory than is allowed: cancel it and ask for less.",
    "launch failed requeued held": "Could not be launched, and is held: the site's operator must release it.",
    "job requeued in held state": "Put back into the queue and held: the site's operator must release it.",
    "FrontEndDown": "The site's front end is down.",
    "SchedDefer": "The site's scheduler looks at it later.",
    "BurstBufferResources": "Waits for room in the burst buffer.",
    "BurstBufferStageIn": "Its data are being staged in.",
    "TimeLimit": "Reached its time limit.",
}
FAMILIES = tuple((name[:-1], sentence) for name, sentence in REASONS.items() if name.endswith("*"))


def live(state: str, reason: str) -> tuple[Phase, str, str]:
    """Return phase, reason and message of a batch job that has not ended. Unknown states appear in the message."""
    phase, message = LIVE.get(state, (Phase.PENDING, f"Slurm says: {state}."))
    if state != "PENDING":
        return phase, _word(state) if message else "", message
    return phase, _word(reason), waiting(reason)


def waiting(reason: str) -> str:
    """Return why a pending batch job waits, as a sentence."""
    plain = reason.strip("()")
    if plain in {"", "null"}:
        return WAITING
    if known := REASONS.get(plain):
        return known
    for prefix, sentence in FAMILIES:
        if plain.startswith(prefix):
            return f"{sentence[:-1]} ({plain})."
    return f"Slurm's reason for the wait: {plain}."


def _word(text: str) -> str:
    """Turn one of Slurm's reasons into one CamelCase word for a pod's status."""
    words = text.strip("()").split(",")[0].replace("_", " ").split()
    if words in ([], ["null"], ["None"]):
        return ""
    # Slurm writes some reasons in capitals (NODE_FAIL) and others in CamelCase (BeginTime).
    return "".join(word.capitalize() if word.isupper() else word[:1].upper() + word[1:] for word in words)
