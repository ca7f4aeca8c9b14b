"""Writes the generated files of charts/wye: CRDs (from crds/, kept on uninstall), README.md (from values and schema),
alerts and dashboards (from the names of metrics).

`make gen` runs it. Helm and kustomize read no file outside their folder, and GitOps tools follow no link out of it:
hence the copies, and a third one in deploy/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import alerts
import dashboards
import yaml

ROOT = Path(__file__).parents[1]
CHART = ROOT / "charts/wye"
KEEP = {"helm.sh/resource-policy": "keep"}
README = """\
# The chart wye

{description}. Kubernetes {kubernetes}.

```
helm install wye charts/wye -n wye-system --create-namespace --set images.registry=registry.example/wye
```

[Installing](../../docs/guides/install.md), [upgrading](../../docs/guides/upgrading.md),
[GitOps](../../docs/guides/gitops.md).

## Values

| value | default | meaning |
|---|---|---|
{rows}

Made by `make gen` from `values.yaml` and `values.schema.json`; `helm` refuses values that are not in this table.
"""


def rows(schema: Mapping[str, Any], values: Mapping[str, Any], path: str = "") -> Iterator[str]:
    """A line for each value, in the order of values.yaml."""
    for name, value in values.items():
        inner = schema["properties"][name]
        if "properties" in inner:
            yield from rows(inner, value, f"{path}{name}.")
        else:
            yield f"| `{path}{name}` | `{json.dumps(value)}` | {meaning(inner)} |"


def meaning(schema: Mapping[str, Any]) -> str:
    choices = [f"`{each}`" for each in schema.get("enum", ())]
    return f"{schema['description']}" + (f" One of {', '.join(choices)}." if choices else "")


def readme() -> str:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())
    kubernetes = chart["kubeVersion"].removeprefix(">=").removesuffix(".0-0") + " or newer"
    lines = "\n".join(rows(schema, values))
    return README.format(description=chart["description"], kubernetes=kubernetes, rows=lines)


def definition(text: str) -> str:
    """A CRD as the chart installs it."""
    made = yaml.safe_load(text)
    made["metadata"]["annotations"] = {**made["metadata"].get("annotations", {}), **KEEP}
    return "# Written by `make gen` from crds/\n" + yaml.safe_dump(made, sort_keys=True, width=160, allow_unicode=True)


def files() -> dict[Path, str]:
    """Each generated file and what belongs into it."""
    crds = {CHART / "files/crds" / each.name: definition(each.read_text()) for each in sorted(ROOT.glob("crds/*.yaml"))}
    boards = {
        CHART / f"files/dashboards/{name}.json": json.dumps(body, indent=1) for name, body in dashboards.every().items()
    }
    rules = {CHART / "files/rules.yaml": yaml.safe_dump(alerts.groups(), sort_keys=False, width=160)}
    whole = {CHART / "README.md": readme(), ROOT / "deploy/crds.yaml": "---\n".join(crds.values())}
    return {**whole, **crds, **rules, **{path: text + "\n" for path, text in boards.items()}}


if __name__ == "__main__":
    for path, text in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
