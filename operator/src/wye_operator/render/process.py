"""A Workload and a router as processes: arguments, environment and configuration, for a pod and this machine alike."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from wye_operator.plan.wanted import OwnServer, Workload
from wye_operator.plan.world import Address
from wye_operator.render.resources import canonical

# glibc gives every large body fresh pages and takes them back after it: page faults make requests with bodies of some
# 100 kB up to twice as slow. With these limits freed memory is kept for the next body.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "268435456", "MALLOC_TRIM_THRESHOLD_": "536870912"}

DRAIN_SECONDS = 5


def runtime_config(workload: Workload, model_path: str, code: str = "") -> bytes:
    """The runtime's configuration file (docs/concepts/wire.md); `code` is the folder of a scoring script."""
    settings: Mapping[str, object] = workload.settings
    model = {**workload.settings.get("model", {}), **({"path": model_path} if model_path else {})}
    script = {"script": {**workload.settings["script"], "folder": code}} if code else {}
    return canonical({**settings, "model": model, **script})


def runtime_argv(program: Sequence[str], config: str, serving: Address, inner: Address) -> tuple[str, ...]:
    """How to start the runtime; both its ports are on one host."""
    if serving.host != inner.host:
        raise ValueError(f"the inner host is {inner.host}, want {serving.host}: they are one")
    ports = ("--port", str(serving.port), "--inner-port", str(inner.port))
    return (*program, "serve", "--config", config, "--host", serving.host, *ports)


def runtime_environment(workload: Workload) -> dict[str, str]:
    """What the runtime's environment has besides the machine's own; the user's variables win."""
    return {**MALLOC, **dict(sorted(workload.environment.items()))}


def server_environment(
    workload: Workload, server: OwnServer, model_path: str, ports: Mapping[int, int]
) -> dict[str, str]:
    """The environment of another server, in the order in which values may refer to each other; the user's win.

    `ports` has those that are not the manifest's own: on one machine several instances cannot have the same.
    """
    model = workload.settings["model"]
    asked = {"SCORING": server.scoring, "READINESS": server.readiness, "LIVENESS": server.liveness}
    folder = model_path.rpartition("/")[0] if placed_as(workload.uri) else model_path
    return {
        "WYE_DEPLOYMENT": workload.settings["deployment"],
        "WYE_MODEL_NAME": model["name"],
        "WYE_MODEL_VERSION": model["version"],
        **({"AZUREML_MODEL_DIR": folder, "WYE_MODEL_PATH": model_path} if model_path else {}),
        **{f"WYE_{name}_PORT": str(ports.get(route.port, route.port)) for name, route in asked.items()},
        **dict(sorted(workload.environment.items())),
    }


def placed_as(uri: str) -> str:
    """What a model is called in its folder; "" where it is all of the folder, as what comes from a bucket or a hub."""
    scheme, _, rest = uri.partition("://")
    if scheme == "https":
        return "model.onnx"
    return rest.rstrip("/").rpartition("/")[2] if scheme in ("file", "configmap", "pvc") else ""


def expanded(text: str, values: Mapping[str, str]) -> str:
    """`$(NAME)` by its value, as kubelet does it: an unknown one stays, and `$$` is a `$`."""

    def value(found: re.Match[str]) -> str:
        return "$" if found[0] == "$$" else values.get(found[1], found[0])

    return re.sub(r"\$\$|\$\(([^)]*)\)", value, text)


def router_argv(envoy: str, bootstrap: str, concurrency: int = 1, *, traced: bool = False) -> tuple[str, ...]:
    """How to start a router. On SIGTERM it ends at once: drain it by the admin port first."""
    return (
        *(envoy, "--config-path", bootstrap),
        # an unknown field in a watched file would otherwise be accepted, and wipe all routes
        "--reject-unknown-dynamic-fields",
        # restarts are the supervisor's; without this, two routers on one machine share a socket and quarrel
        "--disable-hot-restart",
        *("--concurrency", str(concurrency)),
        *("--drain-time-s", str(DRAIN_SECONDS), "--drain-strategy", "immediate"),
        # why a file was rejected stands in the log and nowhere else, as a warning; one line each
        *("--log-level", "warning", "--log-format-escaped"),
        # `http` would log callers' paths with their query strings, `misc` says at each update that key checks are young
        # a collector that does not answer would be said every second; its messages are counted
        *("--component-log-level", "http:critical,misc:error" + (",tracing:critical" if traced else "")),
        *("--log-format", "%Y-%m-%dT%T.%e %l %v"),
        *("--file-flush-interval-msec", "500"),  # of the access log; the default is ten seconds
    )
