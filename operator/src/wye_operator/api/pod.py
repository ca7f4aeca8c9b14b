"""What only a cluster has: resources, probes, and the rest of a pod, as Kubernetes writes it.

Kubernetes' own types (`affinity`, `tolerations`, `volumes` …) are passed on as they are: what is wrong in them the
cluster says itself, and the operator repeats it as `InvalidDeploymentSpec`.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, ClassVar

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from wye_operator.api.base import OBJECT_NAME, Model, Rule, Text, TextOrNumber, Unique, one_of

OURS = "wye-"  # how the names of volumes that Wye makes begin
TAKEN_PATHS = ("/tmp", "/model")
FACTORS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


@dataclass(frozen=True, slots=True)
class Embedded:
    """An object of Kubernetes' own, passed on as it is; `needs` are the texts it cannot be without."""

    noun: str
    needs: tuple[str, ...] = ()

    def checked(self, value: Any) -> dict[str, Any]:
        """The value itself, when it is a map with what it needs."""
        if not isinstance(value, dict) or not all(isinstance(value.get(n), str) and value[n] for n in self.needs):
            raise PydanticCustomError("text", "text", {"hint": ""})
        return value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self.checked)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        needed = f" with {' and '.join(self.needs)}" if self.needs else ""
        sentence = f"{self.noun} as Kubernetes writes it: a map{needed}"
        known = {"properties": {n: {"type": "string", "minLength": 1, "maxLength": 1024} for n in self.needs}}
        required = {**known, "required": list(self.needs)} if self.needs else {}
        return {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "x-sentence": sentence, **required}


QUANTITY = TextOrNumber(
    Text(
        pattern=r"^[0-9]+(\.[0-9]+)?(n|u|m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$",
        most=32,
        sentence="a Kubernetes quantity: a whole number, or a string such as '0.5', 250m or 2Gi",
    ),
    least=0,
)
RESOURCE = Text(
    pattern=r"^[a-z0-9A-Z]([-._/a-zA-Z0-9]*[a-zA-Z0-9])?$",
    most=253,
    sentence="the name of a resource, such as cpu, memory or nvidia.com/gpu",
)
LABEL_VALUE = Text(
    pattern=r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$",
    most=63,
    sentence="empty, or letters, digits, '-', '_' and '.', beginning and ending with a letter or digit, "
    "at most 63 characters",
)
KEY = Text(
    pattern=r"^([a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$",
    most=317,
    sentence="a key of Kubernetes: letters, digits, '-', '_' and '.', at most 63 characters, and before that "
    "a domain and a '/' if you like",
)
NUMBER_OR_PERCENT = TextOrNumber(
    Text(pattern=r"^(100|[1-9]?[0-9])%$", most=4, sentence="a whole number from 0, or a percentage such as 25%"),
    least=0,
)

ObjectName = Annotated[str, OBJECT_NAME]
Quantity = Annotated[str | int, QUANTITY]
Quantities = Annotated[dict[Annotated[str, RESOURCE], Quantity], Field(max_length=8)]
NumberOrPercent = Annotated[str | int, NUMBER_OR_PERCENT]
KeyName = Annotated[str, KEY]
Annotations = Annotated[dict[KeyName, Annotated[str, Field(max_length=65_536)]], Field(max_length=64)]
Labels = Annotated[dict[KeyName, Annotated[str, LABEL_VALUE]], Field(max_length=64)]
Named = ("name",)


def amount(quantity: str | int) -> Decimal:
    """A Kubernetes quantity as a number."""
    text = str(quantity)
    suffix = text.lstrip("0123456789.")
    number = Decimal(text.removesuffix(suffix))
    return number * 2 ** BINARY[suffix] if suffix in BINARY else number.scaleb(FACTORS[suffix])


def _within(resources: Resources) -> bool:
    limits = resources.limits or {}
    asked = (resources.requests or {}).items()
    return all(amount(value) <= amount(limits[name]) for name, value in asked if name in limits)


class Resources(Model):
    """What a container is given, by the names and quantities of Kubernetes."""

    requests: Quantities | None = Field(default=None, description="What is set aside for it.")
    limits: Quantities | None = Field(default=None, description="The most it may use.")

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "requests",
            "!has(self.requests) || !has(self.limits) || self.requests.all(k, !(k in self.limits) || "
            "quantity(string(self.requests[k])).compareTo(quantity(string(self.limits[k]))) <= 0)",
            "must not be above the limits",
            _within,
        ),
    )


class Probe(Model):
    """How often kubelet asks a container, and when it believes the answer."""

    initial_delay: int | None = Field(default=None, ge=0, le=3600, description="Seconds before it is asked first.")
    period: int | None = Field(default=None, ge=1, le=3600, description="Seconds between two questions.")
    timeout: int | None = Field(default=None, ge=1, le=3600, description="Seconds that an answer may take.")
    success_threshold: int | None = Field(default=None, ge=1, le=100, description="Good answers in a row to pass.")
    failure_threshold: int | None = Field(default=None, ge=1, le=10_000, description="Bad answers in a row to fail.")


class Strategy(Model):
    """How instances are replaced when something changes."""

    max_surge: NumberOrPercent = Field(default=1, description="Instances above `instanceCount` meanwhile.")
    max_unavailable: NumberOrPercent = Field(default=0, description="Instances below `instanceCount` meanwhile.")

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "maxSurge",
            "!has(self.maxSurge) || !has(self.maxUnavailable) || !(self.maxSurge == 0 || self.maxSurge == '0%') || "
            "!(self.maxUnavailable == 0 || self.maxUnavailable == '0%')",
            "must be above 0 where maxUnavailable is 0: else nothing could ever be replaced",
            lambda strategy: not {str(strategy.max_surge), str(strategy.max_unavailable)} <= {"0", "0%"},
        ),
    )


class Reference(Model):
    """The name of an object in the same namespace."""

    name: ObjectName = Field(description="The object's name.")


class EnvironmentFrom(Model):
    """All entries of a Secret or of a ConfigMap as environment variables."""

    secret_ref: Reference | None = Field(default=None, description="A Secret.")
    config_map_ref: Reference | None = Field(default=None, description="A ConfigMap.")

    RULES: ClassVar[tuple[Rule, ...]] = one_of("secretRef", "configMapRef", "must have secretRef or configMapRef")


def _own_labels(pod: Pod) -> bool:
    return not any(key.startswith("wye.dev/") or key == "app.kubernetes.io/managed-by" for key in pod.labels or ())


def _own_paths(pod: Pod) -> bool:
    paths = [str(mount["mountPath"]) for mount in pod.volume_mounts or ()]
    return not any(path in TAKEN_PATHS or path.startswith("/etc/wye") for path in paths)


class Pod(Model):
    """The rest of a pod, as Kubernetes writes it."""

    node_selector: Labels | None = Field(default=None, description="Labels that a node must have.")
    tolerations: Annotated[list[Annotated[dict[str, Any], Embedded("a toleration")]], Field(max_length=64)] | None = (
        Field(default=None, description="Taints of nodes that it bears.")
    )
    affinity: Annotated[dict[str, Any], Embedded("an affinity")] | None = Field(
        default=None, description="Near what, and away from what it runs."
    )
    topology_spread_constraints: (
        Annotated[
            list[Annotated[dict[str, Any], Embedded("a constraint", ("topologyKey", "whenUnsatisfiable"))]],
            Field(max_length=16),
        ]
        | None
    ) = Field(default=None, description="How instances are spread over nodes and zones.")
    priority_class_name: ObjectName | None = Field(default=None, description="Its PriorityClass.")
    scheduler_name: ObjectName | None = Field(default=None, description="The scheduler, where it is not the default.")
    service_account_name: ObjectName | None = Field(
        default=None, description="A ServiceAccount of the user's own. Default: one is made, and no token mounted."
    )
    image_pull_secrets: Annotated[list[Reference], Field(max_length=16), Unique("name")] | None = Field(
        default=None, description="Secrets to pull images with."
    )
    runtime_class_name: ObjectName | None = Field(default=None, description="Its RuntimeClass.")
    labels: Labels | None = Field(default=None, description="More labels; nothing of Wye selects by them.")
    annotations: Annotations | None = Field(default=None, description="More annotations.")
    security_context: Annotated[dict[str, Any], Embedded("a pod's security context")] | None = Field(
        default=None, description="Of the pod; what is named here replaces what Wye would set."
    )
    container_security_context: Annotated[dict[str, Any], Embedded("a container's security context")] | None = Field(
        default=None, description="Of the containers; what is named here replaces what Wye would set."
    )
    volumes: (
        Annotated[
            list[Annotated[dict[str, Any], Embedded("a volume", Named)]],
            Field(max_length=64),
            Unique("name"),
        ]
        | None
    ) = Field(default=None, description="More volumes.")
    volume_mounts: (
        Annotated[
            list[Annotated[dict[str, Any], Embedded("a mount", ("mountPath", "name"))]],
            Field(max_length=64),
            Unique("mountPath"),
        ]
        | None
    ) = Field(default=None, description="Where the container has them.")

    RULES: ClassVar[tuple[Rule, ...]] = (
        Rule(
            "labels",
            "!has(self.labels) || self.labels.all(k, !k.startsWith('wye.dev/') && k != 'app.kubernetes.io/managed-by')",
            "must not have keys that begin with wye.dev/, nor app.kubernetes.io/managed-by: Wye selects by them",
            _own_labels,
        ),
        Rule(
            "volumes",
            f"!has(self.volumes) || self.volumes.all(v, !v.name.startsWith('{OURS}'))",
            f"must not have names that begin with {OURS}: these are Wye's own",
            lambda pod: not any(str(v["name"]).startswith(OURS) for v in pod.volumes or ()),
        ),
        Rule(
            "volumeMounts",
            "!has(self.volumeMounts) || self.volumeMounts.all(m, !(m.mountPath in ['/tmp', '/model']) && "
            "!m.mountPath.startsWith('/etc/wye'))",
            "must not be at /tmp, /model or below /etc/wye: there Wye mounts its own",
            _own_paths,
        ),
    )


def plain(value: Model | None) -> dict[str, Any] | None:
    """A model as the JSON a manifest has, without what is absent."""
    return None if value is None else value.model_dump(by_alias=True, exclude_none=True)
