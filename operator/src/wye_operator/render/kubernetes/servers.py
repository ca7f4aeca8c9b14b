"""The pod of another server than our runtime: its own image, its routes as probes, the model where it wants it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wye_operator.api.environment import SHARED
from wye_operator.plan.wanted import OwnServer, PodSettings, Route, Workload
from wye_operator.render.kubernetes.place import Images
from wye_operator.render.kubernetes.pods import container, probe_times
from wye_operator.render.kubernetes.quantities import canonical_quantity
from wye_operator.render.kubernetes.sources import FOLDER, Source
from wye_operator.render.process import server_environment
from wye_operator.render.resources import Json

SHARED_VOLUME = "wye-shm"


def server_container(workload: Workload, server: OwnServer, source: Source | None, more: Json, images: Images) -> Json:
    """The container; `more` is what it has in common with our runtime's."""
    model = source.path.replace(FOLDER, server.mount, 1) if source else ""
    environment = server_environment(workload, server, model, {})
    made: Json = {
        **more,
        "image": server.image,
        **({"command": list(server.command)} if server.command else {}),
        **({"args": list(server.args)} if server.args else {}),
        # in this order: a value may refer to those before it
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "ports": [{"name": name, "containerPort": port, "protocol": "TCP"} for name, port in named_ports(server)],
        "volumeMounts": [
            {"name": SHARED_VOLUME, "mountPath": SHARED},
            *([{**source.mount, "mountPath": server.mount}] if source else []),
        ],
    }
    # its root may be written to, and who pulls it when is Kubernetes' own rule: it is not one of our images
    writable = _with_writable_root(workload.pods)
    return {k: v for k, v in container("model", writable, images, made).items() if k != "imagePullPolicy"}


def named_ports(server: OwnServer) -> Iterator[tuple[str, int]]:
    """What the ports that routers use are called."""
    yield from zip(("http", "ready"), server.ports, strict=False)


def shared_memory(server: OwnServer) -> Json:
    """/dev/shm: a container's own has 64 MiB, whatever a server would need."""
    size = canonical_quantity(server.shared_memory)
    return {"name": SHARED_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": size}}


def server_probe(server: OwnServer, name: str, given: Mapping[str, Any], defaults: Mapping[str, int]) -> Json:
    """A question to one of its routes, by HTTP or, where nothing else is understood, by gRPC."""
    route: Route = server.liveness if name == "liveness" else server.readiness
    times = probe_times(given, defaults)
    if server.speaks_grpc(route):
        return {"grpc": {"port": route.port, "service": ""}, **times}
    return {"httpGet": {"path": route.path, "port": route.port, "scheme": "HTTP"}, **times}


def _with_writable_root(pods: PodSettings) -> PodSettings:
    given = {"readOnlyRootFilesystem": False, **pods.pod.get("containerSecurityContext", {})}
    return PodSettings(pod={**pods.pod, "containerSecurityContext": given})
