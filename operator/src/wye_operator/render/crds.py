"""The models as CustomResourceDefinitions: structural schemas, and every rule as CEL with its sentence.

A text of one form is checked by CEL instead of `pattern`, so that kubectl shows the sentence and not the pattern.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from wye_operator.api.base import NAME
from wye_operator.api.fields import Schema, no_name, schema_of
from wye_operator.api.objects import Deployment, Endpoint
from wye_operator.api.status import DeploymentStatus, EndpointStatus
from wye_operator.render.resources import Json

GROUP, VERSION = "wye.dev", "v1alpha1"
KEPT = (
    *("description", "type", "enum", "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("minProperties", "maxProperties", "required", "x-kubernetes-int-or-string"),
    *("x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
    "x-kubernetes-map-type",
)
LETTERS = "abcdefghijklmnopqrstuvwxyz"
# The form of a name, letter by letter: an API server does not know how long a map's keys may be, and so takes no
# regular expression of them.
NAMES = (
    "self.all(k, size(k) > 0 && size(k) <= {most} && {places}.all(i, i >= size(k) || k.charAt(i) in {inside}) "
    "&& k.charAt(0) in {first} && k.charAt(size(k) - 1) != '-')"
).format(most=NAME.most, places=list(range(NAME.most)), inside=list(f"{LETTERS}0123456789-"), first=list(LETTERS))
# What kstatus (Flux, `kubectl wait`) needs to see that nobody has looked at a new object: without it, it is "Current".
NOT_SEEN_YET: Json = {"observedGeneration": -1}
READY = '.status.conditions[?(@.type=="{}")].{}'


@dataclass(frozen=True, slots=True)
class Kind:
    """What a definition says besides its schema. A column is (name, type, path, priority)."""

    model: type[Endpoint] | type[Deployment]
    status: type[BaseModel]
    plural: str
    short: str
    columns: tuple[tuple[str, str, str, int], ...]
    scale: bool = False
    selectable: tuple[str, ...] = ()


KINDS = (
    Kind(
        Endpoint,
        EndpointStatus,
        "mlendpoints",
        "mle",
        (
            ("Ready", "string", READY.format("Ready", "status"), 0),
            ("Serving", "string", READY.format("Serving", "status"), 0),
            ("Traffic", "string", ".status.trafficText", 0),
            ("Mirror", "string", ".status.mirrorText", 0),
            ("URL", "string", ".status.scoringUri", 0),
            ("Age", "date", ".metadata.creationTimestamp", 0),
            ("Reason", "string", READY.format("Ready", "reason"), 1),
        ),
    ),
    Kind(
        Deployment,
        DeploymentStatus,
        "mldeployments",
        "mld",
        (
            ("Endpoint", "string", ".spec.endpointName", 0),
            ("Ready", "string", READY.format("Ready", "status"), 0),
            ("Replicas", "integer", ".status.readyReplicas", 0),
            ("Traffic", "string", ".status.trafficText", 0),
            ("Model", "string", ".spec.model.uri", 0),
            ("Age", "date", ".metadata.creationTimestamp", 0),
            ("Reason", "string", READY.format("Ready", "reason"), 1),
        ),
        scale=True,
        selectable=(".spec.endpointName",),
    ),
)


def definitions() -> tuple[Json, ...]:
    """Both of them."""
    return tuple(_definition(kind) for kind in KINDS)


def _definition(kind: Kind) -> Json:
    name = kind.model.__name__
    singular = kind.plural.removesuffix("s")
    names = {"kind": name, "listKind": f"{name}List", "plural": kind.plural, "singular": singular}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {**names, "shortNames": [kind.short], "categories": ["wye"]},
            "scope": "Namespaced",
            "versions": [_version(kind)],
        },
    }


def _version(kind: Kind) -> Json:
    columns = [_column(*column) for column in kind.columns]
    selectable = {"selectableFields": [{"jsonPath": path} for path in kind.selectable]} if kind.selectable else {}
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "additionalPrinterColumns": columns,
        "subresources": {"status": {}, **({"scale": _scale()} if kind.scale else {})},
        "schema": {"openAPIV3Schema": _object(kind)},
        **selectable,
    }


def _column(name: str, of: str, path: str, priority: int) -> Json:
    return {"name": name, "type": of, "jsonPath": path, **({"priority": priority} if priority else {})}


def _scale() -> Json:
    return {
        "specReplicasPath": ".spec.instanceCount",
        "statusReplicasPath": ".status.replicas",
        "labelSelectorPath": ".status.selector",  # without it an autoscaler does nothing
    }


def _object(kind: Kind) -> Json:
    """The whole object. Of metadata a definition may restrict the name alone."""
    schema = schema_of(kind.model)
    properties = schema["properties"]
    needed = [name for name in schema["required"] if name == "spec"]
    whole = structural({**schema, "properties": {"spec": properties["spec"]}, "required": needed})
    if not needed:
        del whole["required"]
        whole["properties"]["spec"]["default"] = {}
    named = structural(properties["metadata"]["properties"]["name"])
    rules = named.pop("x-kubernetes-validations")
    whole["x-kubernetes-validations"] = [*_of_name(rules), *whole.get("x-kubernetes-validations", ())]
    whole["properties"] |= {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object", "properties": {"name": named}},
        "status": _status(kind.status) | {"default": NOT_SEEN_YET},
    }
    return whole


def _of_name(rules: list[Json]) -> list[Json]:
    """The rules of the name, said of the whole object: metadata takes none."""
    return [
        {**rule, "rule": rule["rule"].replace("self", "self.metadata.name"), "fieldPath": ".metadata.name"}
        for rule in rules
    ]


def _status(model: type[BaseModel]) -> Json:
    """What Wye writes itself is checked loosely, so that an older or newer Wye can write it too."""
    schema = _loose(structural(schema_of(model)))
    schema["properties"]["conditions"] |= {
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    }
    schema["properties"]["conditions"]["items"]["required"] = ["type"]
    return schema


def _loose(schema: Json) -> Json:
    kept = {k: v for k, v in schema.items() if k not in ("enum", "required", "default")}
    return _below(kept, _loose)


def structural(schema: Schema) -> Json:
    """A schema as an API server takes it, with every rule it can check."""
    kept: Json = {key: schema[key] for key in KEPT if key in schema}
    if "const" in schema:
        kept["enum"] = [schema["const"]]
    default = schema.get("default")
    if default is not None and not isinstance(default, Mapping):
        kept["default"] = default
    if schema.get("additionalProperties") is True:
        kept["x-kubernetes-preserve-unknown-fields"] = True
    for part in ("properties", "items", "additionalProperties"):
        if isinstance(schema.get(part), Mapping):
            kept[part] = schema[part]
    rules = [*_form(schema, kept), *_names(schema), *schema.get("x-kubernetes-validations", ())]
    if rules:
        kept["x-kubernetes-validations"] = rules
    return _below(kept, structural)


def _below(schema: Json, change: Callable[[Json], Json]) -> Json:
    """The schema with everything below it changed."""
    changed = dict(schema)
    if "properties" in schema:
        changed["properties"] = {name: change(child) for name, child in schema["properties"].items()}
    for part in ("items", "additionalProperties"):
        if isinstance(schema.get(part), Mapping):
            changed[part] = change(schema[part])
    return changed


def _form(schema: Schema, kept: Json) -> list[Json]:
    """A text's form by CEL, with its sentence; where a number may stand too, CEL sees no type: a pattern."""
    if "pattern" not in schema:
        return []
    if schema.get("type") != "string":
        kept["pattern"] = schema["pattern"]
        return []
    return [{"rule": f"self.matches({_quoted(schema['pattern'])})", "message": f"must be {schema['x-sentence']}"}]


def _names(schema: Schema) -> list[Json]:
    """What CEL can say of a map's keys within its budget: of other forms than names only the length."""
    form = schema.get("propertyNames", {})
    if form.get("x-sentence") == NAME.sentence:
        return [{"rule": NAMES, "message": no_name(schema)}]
    if "maxLength" not in form:
        return []
    return [{"rule": f"self.all(k, size(k) > 0 && size(k) <= {form['maxLength']})", "message": no_name(schema)}]


def _quoted(pattern: str) -> str:
    return "r" + json.dumps(pattern).replace("\\\\", "\\")
