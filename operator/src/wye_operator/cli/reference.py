"""Writes docs/reference from the models: `python -m wye_operator.cli.reference docs/reference` (`make gen`).

The pages hold nothing that is not in the code, so that a field, a rule or a reason cannot be without its entry.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import BaseModel

from wye_operator.api.base import TWICE
from wye_operator.api.fields import Field, Schema, fields_of, no_name, schema_of, wanted
from wye_operator.api.objects import Deployment, Endpoint
from wye_operator.api.reasons import CONDITIONS, EVENTS, EXPLANATIONS, Group
from wye_operator.api.status import DeploymentStatus, EndpointStatus
from wye_operator.cli.main import parser
from wye_operator.cli.manual import sections

SOURCE = "operator/src/wye_operator"
GENERATED = f"<!-- written by `make gen` from {SOURCE}/api: edit the models, not this page -->"
GENERATED_COMMANDS = f"<!-- written by `make gen` from {SOURCE}/cli: edit the commands, not this page -->"
COMMANDS = (
    "What `wye` can do, as its `--help` says it. A tour of those that speak to a cluster is in "
    "[the guide](../guides/cli.md)."
)
USAGE = "usage: python -m wye_operator.cli.reference FOLDER"
ANYWHERE = {  # what holds for every object, said once above the table
    "Endpoint": "Resource `mlendpoints`, short `mle`.",
    "Deployment": "Resource `mldeployments`, short `mld`.",
}
STRICTNESS = (
    "Unknown fields are refused by name; a null is the same as an absent field. Values are read as kubectl reads them: "
    "`yes`, `no`, `on`, `off`, `y` and `n` are booleans unless they are quoted."
)


def pages() -> dict[str, str]:
    """Every page by its file name."""
    return {
        "endpoint.md": _kind_page(Endpoint),
        "deployment.md": _kind_page(Deployment),
        "status.md": _status_page(),
        "reasons.md": _reasons_page(),
        "commands.md": _page("Commands", COMMANDS, *sections(parser())).replace(GENERATED, GENERATED_COMMANDS),
    }


def main(arguments: list[str]) -> int:
    """Write the pages into the folder that the arguments name."""
    if len(arguments) != 1:
        print(USAGE, file=sys.stderr)
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")
    return 0


def _kind_page(model: type[Endpoint] | type[Deployment]) -> str:
    schema = schema_of(model)
    intro = f"{model.__doc__} `apiVersion: wye.dev/v1alpha1`, `kind: {model.__name__}`. {ANYWHERE[model.__name__]}"
    rows = [_field_row(field) for field in fields_of(schema)]
    rules = [f"* `{place}` {sentence}" for place, sentence in rules_of(schema)]
    return _page(
        model.__name__,
        intro,
        STRICTNESS,
        _table(("Field", "Must be", "Default", "Meaning"), rows),
        "## Rules",
        "Each in the words in which a mistake is answered.",
        "\n".join(rules),
    )


def _status_page() -> str:
    return _page(
        "Status",
        "What Wye writes into `status`. What the reasons mean is in [reasons](reasons.md).",
        *_status_part("Endpoint", EndpointStatus),
        *_status_part("Deployment", DeploymentStatus),
    )


def _status_part(kind: str, model: type[BaseModel]) -> Iterator[str]:
    rows = [
        (f"`status.{field.text}`", _status_type(field), field.schema["description"])
        for field in fields_of(schema_of(model))
    ]
    yield f"## {kind}"
    yield _table(("Field", "Is", "Meaning"), rows)


def _status_type(field: Field) -> str:
    reason = field.path[-1] == "reason" and "enum" in field.schema
    return "one of the [reasons](reasons.md)" if reason else wanted(field.schema)


def _reasons_page() -> str:
    parts = [
        "One reason at a time is shown: the first that holds, in the order of this page. The message names others. "
        "What to look at first for each of them: [troubleshooting](../guides/troubleshooting.md)."
    ]
    for group in Group:
        rows = [(f"`{reason}`", e.meaning, e.to_do) for reason, e in EXPLANATIONS.items() if e.group is group]
        parts += [f"## {group}", CONDITIONS[group], _table(("Reason", "When", "What to do"), rows)]
    told = "An event has the reason of `Ready` where that becomes True, `Degraded` or Stalled, or one of these:"
    events = [(f"`{reason}`", meaning) for reason, meaning in EVENTS.items()]
    parts += ["## Of events", told, _table(("Reason", "What happened"), events)]
    return _page("Reasons", *parts)


def rules_of(schema: Schema, above: str = "") -> Iterator[tuple[str, str]]:
    """Every rule below a schema: the field it points at, and its sentence."""
    for rule in schema.get("x-rules", ()):
        yield ".".join(filter(None, (above, rule["field"]))), rule["sentence"].replace("{}", "…")
    if schema.get("x-kubernetes-list-type"):
        yield f"{above}[]", TWICE.replace("{}", "…")
    for name, child in schema.get("properties", {}).items():
        yield from rules_of(child, ".".join(filter(None, (above, name))))
    if "items" in schema:
        yield from rules_of(schema["items"], f"{above}[]")
    if "propertyNames" in schema:
        yield f"{above}.NAME", no_name(schema)
    if isinstance(schema.get("additionalProperties"), Mapping):
        yield from rules_of(schema["additionalProperties"], f"{above}.NAME")


def _field_row(field: Field) -> tuple[str, ...]:
    return f"`{field.text}`", _must_be(field.schema), _default(field), field.schema["description"]


def _must_be(schema: Schema) -> str:
    """What the field must be; of a list or map also what its values must be."""
    values = schema.get("items") or schema.get("additionalProperties")
    whole = wanted(schema)
    if not isinstance(values, Mapping) or not values or "properties" in values:
        return whole
    return f"{whole}; each {wanted(values)}"


def _default(field: Field) -> str:
    if field.required:
        return "required"
    default = field.schema.get("default")
    return "" if default is None or isinstance(default, Mapping) else f"`{json.dumps(default)}`"


def _table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *escaped))


def _page(title: str, *parts: str) -> str:
    return "\n\n".join([GENERATED, f"# {title}", *parts]) + "\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
