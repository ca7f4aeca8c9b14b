"""`environment`: another server than Wye's runtime behind an Endpoint, by the three routes that it answers.

The names are Azure's, where a custom container has the same three (`inference_config`).
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from wye_operator.api.base import ByteQuantity, Model, Rule, Text

GRPC_HEALTH = "/grpc.health.v1.Health/Check"  # of a server that speaks nothing but gRPC on a port
SHARED = "/dev/shm"
TAKEN = ("/tmp", "/dev", SHARED, "/proc", "/sys", "/etc")  # a pod would not start, or not find its own
IMAGE = Text(
    pattern=r"^[^\s]+$",
    most=1024,
    sentence="the name of an image, such as registry.example.com/team/server:1.2",
)
ROUTE_PATH = Text(
    pattern=r"^/[-._~!$&()*+,;=:@%/A-Za-z0-9]*$",
    most=1024,
    sentence="a path that begins with '/', without a query, such as /v1/models/fraud:predict",
    hint=lambda path: f"use '/{path}'" if path and not path.startswith("/") else "",
)
MOUNT_PATH = Text(
    pattern=r"^(/[A-Za-z0-9_][-._A-Za-z0-9]*)+$",
    most=512,
    sentence="an absolute path of letters, digits, '-', '_' and '.', not ending in '/', such as /models",
)
Words = Annotated[list[Annotated[str, Field(max_length=32_768)]], Field(max_length=256)]


class Route(Model):
    """Where the server answers one question."""

    path: Annotated[str, ROUTE_PATH] = Field(description="The path.")
    port: int = Field(ge=1, le=65_535, description="The port that the server listens on.")


class ScoringRoute(Route):
    """Where the server takes requests."""

    path: Annotated[str, ROUTE_PATH] = Field(
        description="What `/score` becomes on its way to the server; every other path is passed on as it is."
    )
    protocol: Literal["http1", "h2c"] = Field(
        default="http1",
        description="What the server speaks on that port: HTTP/1.1, or HTTP/2 without TLS, as gRPC servers do.",
    )


def _asks_grpc_by_its_name(config: InferenceConfig, route: Route) -> bool:
    shared = config.scoring_route.protocol == "h2c" and route.port == config.scoring_route.port
    return shared == (route.path == GRPC_HEALTH)


def _on_grpc_port(name: str, rule: str) -> Rule:
    """HTTP/1.1, which probes speak, is not understood on a port of gRPC's."""
    return Rule(
        f"{name}.path",
        "(has(self.scoringRoute.protocol) && self.scoringRoute.protocol == 'h2c' && "
        f"self.{name}.port == self.scoringRoute.port) == (self.{name}.path == '{GRPC_HEALTH}')",
        f"must be {GRPC_HEALTH} on the port of an h2c scoringRoute, which is asked by gRPC's own health check, and "
        "cannot be that anywhere else",
        lambda config: _asks_grpc_by_its_name(config, getattr(config, rule)),
    )


class InferenceConfig(Model):
    """The three routes of a server."""

    liveness_route: Route = Field(description="Whether it lives; one that does not is started anew.")
    readiness_route: Route = Field(
        description="Whether it takes requests. Kubelet asks it, and so do the routers: 200 to 399 is yes."
    )
    scoring_route: ScoringRoute = Field(description="Where requests go.")

    RULES: ClassVar[tuple[Rule, ...]] = (
        _on_grpc_port("livenessRoute", "liveness_route"),
        _on_grpc_port("readinessRoute", "readiness_route"),
    )


class Environment(Model):
    """Another server than Wye's runtime."""

    image: Annotated[str, IMAGE] = Field(description="Its image. The local twin runs `command` instead, as a process.")
    command: Words | None = Field(
        default=None,
        description="Instead of the image's entry point. `$(NAME)` is the value of an environment variable.",
    )
    args: Words | None = Field(default=None, description="Instead of the image's arguments; `$(NAME)` likewise.")
    inference_config: InferenceConfig = Field(description="The three routes that it answers.")
    model_mount_path: Annotated[str, MOUNT_PATH] = Field(
        default="/model",
        description="Where `model.uri` is mounted, read-only. `AZUREML_MODEL_DIR` is the folder that holds the model's "
        "file or folder, `WYE_MODEL_PATH` that file or folder itself.",
    )
    shared_memory: ByteQuantity = Field(
        default="64Mi", description="Size of `/dev/shm`. What is used of it counts as memory of the container."
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "modelMountPath",
            f"!has(self.modelMountPath) || !{list(TAKEN)}.exists(p, self.modelMountPath == p || "
            "(p != '/etc' && self.modelMountPath.startsWith(p + '/')) || self.modelMountPath.startsWith('/etc/wye'))",
            f"must not be {', '.join(TAKEN)}, nor below one of them (but for /etc, where only /etc/wye is Wye's)",
            lambda environment: _is_free(environment.model_mount_path),
        ),
    )


def _is_free(path: str) -> bool:
    below = (f"{taken}/" for taken in TAKEN if taken != "/etc")
    return path not in TAKEN and not path.startswith((*below, "/etc/wye"))
