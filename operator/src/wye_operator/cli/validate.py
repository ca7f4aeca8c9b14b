"""`wye validate`: every mistake in manifests with file, line and field, without a cluster; nothing is run."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TextIO

from wye_operator.api.endpoint import EndpointSpec
from wye_operator.cli.arguments import Commands, command
from wye_operator.local.manifests import Manifests, Mistake, read_manifests

EXAMPLES = """\
examples:
  wye validate examples/fraud
  wye validate endpoint.yaml blue.yaml
  kubectl kustomize overlays/prod | wye validate /dev/stdin
"""


def add_parser(commands: Commands) -> None:
    """Add the command to those of `wye`."""
    about = "Check manifests of Endpoints and Deployments. Exit status 2 when there is a mistake, else 0."
    summary = "check manifests: file, line, field, what is wrong and what would be right"
    parser = command(commands, "validate", summary=summary, text=about, examples=EXAMPLES)
    parser.add_argument("paths", nargs="+", type=Path, metavar="DIR|FILE", help="a folder (its top level) or a file")
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to print (default: text)")
    parser.set_defaults(func=run)


def run(args: argparse.Namespace, out: TextIO | None = None) -> int:
    """Check `args.paths` and print what was found; 2 when there is a mistake, else 0."""
    found = read_manifests(*args.paths)
    warnings = () if found.mistakes else tuple(warnings_of(found))  # what is missing may be what is mistaken
    write = _as_json if args.output == "json" else _as_text
    print(write(found, warnings), file=out or sys.stdout)
    return 2 if found.mistakes else 0


def warnings_of(found: Manifests) -> Iterator[Mistake]:
    """What is no mistake, as it may come later or stand elsewhere, but often is one: names that lead nowhere here."""
    endpoints = {(e.value.metadata.namespace, e.value.metadata.name) for e in found.endpoints}
    names: dict[tuple[str, str], set[str]] = {}
    for placed in found.deployments:
        deployment = placed.value
        key = deployment.metadata.namespace, deployment.spec.endpoint_name
        names.setdefault(key, set()).add(deployment.short_name)
        if key not in endpoints:
            line = placed.line_at("spec", "endpointName")
            message = f"names the Endpoint {key[1]}, which is not among these manifests"
            yield Mistake(str(placed.file), line, "spec.endpointName", message)
    for endpoint in found.endpoints:
        metadata = endpoint.value.metadata
        known = names.get((metadata.namespace, metadata.name), set())
        for field, shares in _shares(endpoint.value.spec):
            for name in sorted({name for name, share in shares.items() if share > 0} - known):
                line = endpoint.line_at("spec", field, name)
                message = f"is no Deployment of this Endpoint among these manifests; {_there(known)}"
                yield Mistake(str(endpoint.file), line, f"spec.{field}.{name}", message)


def _shares(spec: EndpointSpec) -> tuple[tuple[str, dict[str, float]], ...]:
    return ("traffic", spec.traffic or {}), ("mirrorTraffic", spec.mirror_traffic or {})


def _there(names: Iterable[str]) -> str:
    listed = ", ".join(sorted(names))
    return f"there are: {listed}" if listed else "there is none"


def _as_text(found: Manifests, warnings: tuple[Mistake, ...]) -> str:
    lines = [*map(str, found.mistakes), *(_warning(warning) for warning in warnings)]
    lines += [f"passed over: {_place(p.file, p.line)}: {p.what}" for p in found.passed_over]
    if found.mistakes:
        return "\n".join([*lines, f"{_count(len(found.mistakes), 'mistake')}"])
    objects = _objects(found)
    are = "is" if len(objects) == 1 else "are"
    lines.append(f"{_count(len(objects), 'object')} {are} valid")
    return "\n".join([*lines, *(f"  {kind} {name} ({place})" for kind, name, place in objects)])


def _warning(warning: Mistake) -> str:
    return f"{_place(warning.file, warning.line)}: warning: {warning.field}: {warning.message}"


def _objects(found: Manifests) -> list[tuple[str, str, str]]:
    """Kind, name and place of every object that was read, in the order of kinds."""
    endpoints = [(e.value.kind, e.value.metadata, e.file, e.line) for e in found.endpoints]
    deployments = [(d.value.kind, d.value.metadata, d.file, d.line) for d in found.deployments]
    ours = [(kind, m.namespace, m.name, file, line) for kind, m, file, line in (*endpoints, *deployments)]
    theirs = [(o.kind, o.namespace, o.name, o.file, o.line) for o in (*found.configmaps, *found.secrets)]
    return [
        (kind, name if namespace == "default" else f"{namespace}/{name}", _place(str(file), line))
        for kind, namespace, name, file, line in (*ours, *theirs)
    ]


def _as_json(found: Manifests, warnings: tuple[Mistake, ...]) -> str:
    answer = {
        "valid": not found.mistakes,
        "mistakes": [_mistake(mistake) for mistake in found.mistakes],
        "warnings": [_mistake(warning) for warning in warnings],
        "objects": [{"kind": kind, "name": name, "place": place} for kind, name, place in _objects(found)],
        "passedOver": [{"file": p.file, "line": p.line, "what": p.what} for p in found.passed_over],
    }
    return json.dumps(answer, indent=2, ensure_ascii=False)


def _mistake(mistake: Mistake) -> dict[str, Any]:
    return {"file": mistake.file, "line": mistake.line, "field": mistake.field, "message": mistake.message}


def _place(file: str, line: int) -> str:
    return f"{file}:{line}" if line else file


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
