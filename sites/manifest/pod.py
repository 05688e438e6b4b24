"""The body of a /create -> what we keep of it. Every refusal names its culprit in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import UUID

from controlplane.errors import BadRequest, Refused
from sites.manifest.containers import parse_container
from sites.manifest.flags import flavor, native_flags
from sites.manifest.resources import pod_resources
from sites.manifest.shape import dns_label, dns_subdomain, mapping, mappings, text, whole_number
from sites.manifest.volumes import Sources, parse_volumes
from sites.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sites.manifest.flags import NativeFlags
    from sites.manifest.resources import PodResources
    from sites.workload import Container, Demand, Volume

    Json = Mapping[str, object]

# What would change how a pod runs, and what a batch job cannot do. Honoured, refused, ignored: docs/pods.md has it all.
UNSUPPORTED = ("hostPID", "hostIPC", "shareProcessNamespace", "hostAliases", "resourceClaims")


@dataclass(frozen=True)
class PodRequest:
    """One pod as it came, checked. time_limit: seconds, the smaller of the pod's deadline and its --time, or None.

    resources: 0 where the pod leaves a figure open. flavor: the name of the flavor that fills those in, or none.
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
        """One attempt at this pod: key, folder and account as `sites.workload.Workload` describes them."""
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
    """Read a /create body: {"pod", "configmaps", "secrets", "projectedvolumesmaps", "jobscriptURL"}.

    BadRequest: not a pod, or malformed. Refused: a pod that can never run as it asks.
    """
    if not isinstance(request, dict) or not isinstance(request.get("pod"), dict):
        raise BadRequest('The body must be an object with the pod under "pod".')
    pod: Json = request["pod"]
    metadata, spec = mapping(pod.get("metadata"), "pod.metadata"), mapping(pod.get("spec"), "pod.spec")
    uid, name, namespace = _identity(metadata)
    if text(request.get("jobscriptURL"), "jobscriptURL"):
        raise Refused("A job script of your own (jobscriptURL) is not allowed at this site.")
    _refuse_unsupported(spec)
    raw, raw_init = (mappings(spec.get(field), f"pod.spec.{field}") for field in ("containers", "initContainers"))
    containers, init_containers = _containers(raw, "containers"), _containers(raw_init, "initContainers")
    _require_unique_names((*init_containers, *containers))
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
    written = text(metadata.get("uid"), "pod.metadata.uid")
    try:
        uid = UUID(written)
    except ValueError:
        raise BadRequest("pod.metadata.uid must be a UUID.") from None
    if str(uid) != written.lower():
        raise BadRequest("pod.metadata.uid must be a UUID with dashes.")
    name = dns_subdomain(metadata.get("name"), "pod.metadata.name")
    return uid, name, dns_label(metadata.get("namespace"), "pod.metadata.namespace")


def _refuse_unsupported(spec: Json) -> None:
    security = mapping(spec.get("securityContext"), "pod.spec.securityContext")
    operating_system = mapping(spec.get("os"), "pod.spec.os").get("name")
    wanted = {field: spec.get(field) for field in UNSUPPORTED}
    wanted |= {"securityContext.sysctls": security.get("sysctls"), "os": operating_system not in {None, "", "linux"}}
    for field, value in wanted.items():
        if value:
            raise Refused(f"The pod uses {field}, which batch jobs do not support; remove it from the pod's spec.")


def _containers(raw: Sequence[Json], field: str) -> tuple[Container, ...]:
    return tuple(parse_container(each, f"pod.spec.{field}[{index}]") for index, each in enumerate(raw))


def _require_unique_names(containers: Sequence[Container]) -> None:
    seen: set[str] = set()
    for container in containers:
        if container.name in seen:
            raise BadRequest(f"The pod has two containers named {container.name}.")
        seen.add(container.name)


def _time_limit(spec: Json, flags: NativeFlags) -> int | None:
    deadline = whole_number(spec.get("activeDeadlineSeconds"), "pod.spec.activeDeadlineSeconds")
    if deadline is not None and not 0 < deadline < 2**31:
        raise BadRequest("pod.spec.activeDeadlineSeconds must be a positive number of seconds.")
    limits = [limit for limit in (deadline, flags.time_limit) if limit is not None]
    return min(limits, default=None)
