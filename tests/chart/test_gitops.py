"""The health script of docs/guides/gitops.md, run as Argo CD runs it: `obj` in, status and message out."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

PAGE = Path(__file__).parents[2] / "docs/guides/gitops.md"
LUA = next(filter(None, map(shutil.which, ("lua", "lua5.4", "lua5.3", "lua5.1", "luajit"))), None)


def script() -> str:
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (data,) = [yaml.safe_load(block)["data"] for block in blocks if "argocd" in block or "health.wye.dev" in block]
    endpoint, deployment = (
        data[f"resource.customizations.health.wye.dev_{kind}"] for kind in ("Endpoint", "Deployment")
    )
    assert endpoint == deployment
    return endpoint


def table(value) -> str:
    """A value as Lua writes it."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name} = {table(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "{" + ", ".join(map(table, value)) + "}"
    return json.dumps(value)


def conditions(ready: str, reconciling: str, stalled: str, reason: str = "R") -> list[dict]:
    pairs = (("Ready", ready), ("Reconciling", reconciling), ("Stalled", stalled))
    return [{"type": kind, "status": status, "reason": reason, "message": "m"} for kind, status in pairs]


@pytest.mark.skipif(LUA is None, reason="no lua here")
@pytest.mark.parametrize(
    ("status", "health"),
    [
        (None, "Progressing: not looked at yet"),
        ({"observedGeneration": 1, "conditions": conditions("True", "False", "False")}, "Progressing: the new spec"),
        ({"observedGeneration": 2, "conditions": conditions("True", "False", "False")}, "Healthy: R: m"),
        ({"observedGeneration": 2, "conditions": conditions("False", "True", "False")}, "Progressing: R: m"),
        ({"observedGeneration": 2, "conditions": conditions("False", "False", "True")}, "Degraded: R: m"),
    ],
    ids=["new", "a new generation", "ready", "on its way", "needs a person"],
)
def test_argo_cd_sees_what_is(status, health) -> None:
    obj = {"metadata": {"generation": 2}, **({"status": status} if status else {})}
    called = "local h = health()\nprint(h.status .. ': ' .. h.message)"
    program = f"obj = {table(obj)}\nlocal function health()\n{script()}\nend\n{called}"
    done = subprocess.run([LUA, "-e", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(health)
