"""Parses the body of a /create. Each error is one sentence that names the wrong field."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from controlplane.errors import BadRequest, Refused
from sites.manifest.containers import parse_container
from sites.manifest.flags import flavor, native_flags
from sites.manifest.resources import pod_resources
from sites.manifest.shape import dns_label, dns_subdomain, mapping, mappings, string, whole_number
from sites.manifest.volumes import Sources, parse_volumes
from sites.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sites.manifest.flags import NativeFlags
    from sites.manifest.resources import PodResources
    from sites.workload import Container, Demand, Volume

    Json = Mapping[str, object]

# Fields that change how a pod runs and that a batch job cannot honour. docs/pods.md lists every field.
UNSUPPORTED = ("hostPID", "hostIPC", "shareProcessNamespace", "hostAliases", "resourceClaims")


@dataclass(frozen=True)
class PodRequest:
    """One checked pod. time_limit: seconds, the smaller of the pod's deadline and its --time; None without either.

    resources: a figure of 0 is one that the pod does not name. flavor: the name of the flavor that gives those figures,
    or "".
    """

    uid: UUID
    name: str
    namespace: str
    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...]
    volumes: tuple[Volume, ...]
    resources: PodResources
    flags: NativeFlags
    time_limit: int | None
    flavor: str = ""

    def workload(self, demand: Demand, *, key: str, folder: str, account: str = "") -> Workload:
        """Return one attempt at this pod. key, folder, account: see `sites.workload.Workload`."""
        return Workload(
            key=key,
            folder=folder,
            pod=f"{self.namespace}/{self.name}",
            containers=self.containers,
            init_containers=self.init_containers,
            volumes=self.volumes,
            demand=demand,
            native=self.flags.native,
            account=account,
        )


def parse(request: Mapping[str, object]) -> PodRequest:
    """Parse a /create body: {"pod", "configmaps", "secrets", "projectedvolumesmaps", "jobscriptURL"}.

    Raises BadRequest if it is malformed or not a pod, and Refused if the pod can never run as written.
    """
    if not isinstance(request, dict) or not isinstance(request.get("pod"), dict):
        raise BadRequest('The body must be an object with the pod under "pod".')
    pod: Json = request["pod"]
    metadata, spec = mapping(pod.get("metadata"), "pod.metadata"), mapping(pod.get("spec"), "pod.spec")
    uid, name, namespace = _identity(metadata)
    if string(request.get("jobscriptURL"), "jobscriptURL"):
        raise Refused("A job script of your own (jobscriptURL) is not allowed at this site.")
    _refuse_unsupported(spec)
    raw, raw_init = (mappings(spec.get(field), f"pod.spec.{field}") for field in ("containers", "initContainers"))
    containers, init_containers = _containers(raw, "containers"), _containers(raw_init, "initContainers")
    for each, times in Counter(container.name for container in (*init_containers, *containers)).items():
        if times > 1:
            raise BadRequest(f"The pod has two containers named {each}.")
    mounted = frozenset(mount.volume for each in (*init_containers, *containers) for mount in each.mounts)
    annotations = mapping(metadata.get("annotations"), "pod.metadata.annotations")
    flags = native_flags(annotations)
    return PodRequest(
        uid=uid,
        name=name,
        namespace=namespace,
        containers=containers,
        init_containers=init_containers,
        volumes=parse_volumes(
            mappings(spec.get("volumes"), "pod.spec.volumes"), mounted, Sources.of(request, metadata)
        ),
        resources=pod_resources(raw, raw_init),
        flags=flags,
        time_limit=_time_limit(spec, flags),
        flavor=flavor(annotations),
    )


def _identity(metadata: Json) -> tuple[UUID, str, str]:
    given = string(metadata.get("uid"), "pod.metadata.uid")
    try:
        uid = UUID(given)
    except ValueError:
        raise BadRequest("pod.metadata.uid must be a UUID.") from None
    if str(uid) != given.lower():
        raise BadRequest("pod.metadata.uid must be a UUID with dashes.")
    name = dns_subdomain(metadata.get("name"), "pod.metadata.name")
    return uid, name, dns_label(metadata.get("namespace"), "pod.metadata.namespace")


def _refuse_unsupported(spec: Json) -> None:
    security = mapping(spec.get("securityContext"), "pod.spec.securityContext")
    operating_system = mapping(spec.get("os"), "pod.spec.os").get("name")
    unsupported = {field: spec.get(field) for field in UNSUPPORTED}
    unsupported["securityContext.sysctls"] = security.get("sysctls")
    unsupported["os"] = operating_system not in {None, "", "linux"}
    for field, value in unsupported.items():
        if value:
            raise Refused(f"The pod uses {field}, which batch jobs do not support; remove it from the pod's spec.")


def _containers(raw: Sequence[Json], field: str) -> tuple[Container, ...]:
    return tuple(parse_container(each, f"pod.spec.{field}[{index}]") for index, each in enumerate(raw))


def _time_limit(spec: Json, flags: NativeFlags) -> int | None:
    deadline = whole_number(spec.get("activeDeadlineSeconds"), "pod.spec.activeDeadlineSeconds")
    if deadline is not None and not 0 < deadline < 2**31:
        raise BadRequest("pod.spec.activeDeadlineSeconds must be a positive number of seconds.")
    limits = [limit for limit in (deadline, flags.time_limit) if limit is not None]
    return min(limits, default=None)
