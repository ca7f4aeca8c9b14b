"""The health script of docs/guides/gitops.md, run as Argo CD runs it (Lua 5.1): `obj` in, status and message out."""

import argparse
import re
import shlex
from pathlib import Path

import pytest
import yaml
from lupa import lua51

from wye_operator.cli.main import parser

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/guides/gitops.md"
GOLDEN = sorted((ROOT / "tests/golden").glob("*/out/plan.yaml"))
FENCE = re.compile(r"^```yaml\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> list[dict]:
    return [yaml.safe_load(text) for text in FENCE.findall(PAGE.read_text())]


def script() -> str:
    (data,) = [block["data"] for block in blocks() if "data" in block]
    endpoint, deployment = (
        data[f"resource.customizations.health.wye.dev_{kind}"] for kind in ("Endpoint", "Deployment")
    )
    assert endpoint == deployment
    return endpoint


def health(status: dict | None, generation: int) -> tuple[str, str]:
    """What Argo CD shows of an object of that generation."""
    lua = lua51.LuaRuntime()
    obj = {"metadata": {"name": "x", "generation": generation}, **({"status": status} if status else {})}
    lua.globals().obj = lua.table_from(obj, recursive=True)
    found = lua.execute(script())
    return found["status"], found["message"]


def conditions(ready: str, reconciling: str, stalled: str) -> list[dict]:
    pairs = (("Ready", ready), ("Reconciling", reconciling), ("Stalled", stalled))
    return [{"type": kind, "status": status, "reason": "R", "message": "m"} for kind, status in pairs]


@pytest.mark.parametrize(
    ("status", "shown"),
    [
        (None, ("Progressing", "not looked at yet")),
        ({"observedGeneration": -1}, ("Progressing", "not looked at yet")),
        (
            {"observedGeneration": 1, "conditions": conditions("True", "False", "False")},
            ("Progressing", "the new spec is not looked at yet"),
        ),
        ({"observedGeneration": 2, "conditions": conditions("True", "False", "False")}, ("Healthy", "R: m")),
        ({"observedGeneration": 2, "conditions": conditions("False", "True", "False")}, ("Progressing", "R: m")),
        ({"observedGeneration": 2, "conditions": conditions("False", "False", "True")}, ("Degraded", "R: m")),
    ],
    ids=["new", "new, with the default", "a new generation", "ready", "on its way", "needs a person"],
)
def test_argo_cd_sees_what_is(status: dict | None, shown: tuple[str, str]) -> None:
    assert health(status, 2) == shown


def statuses(plan: Path) -> dict[str, dict]:
    """Every status that a golden case ends with, as the operator writes it."""
    made = yaml.safe_load(plan.read_text())
    return {**({"endpoint": made["endpoint"]} if made["endpoint"] else {}), **made["deployments"]}


@pytest.mark.parametrize("plan", GOLDEN, ids=lambda plan: plan.parents[1].name)
def test_every_status_that_a_plan_ends_with_is_understood(plan: Path) -> None:
    for name, status in statuses(plan).items():
        told = {c["type"]: c for c in status["conditions"]}
        word = "Degraded" if told["Stalled"]["status"] == "True" else "Progressing"
        word = "Healthy" if told["Ready"]["status"] == "True" else word
        ready = told["Ready"]
        assert health(status, status["observedGeneration"]) == (word, f"{ready['reason']}: {ready['message']}"), name


@pytest.mark.parametrize(
    ("case", "name", "shown"),
    [
        ("split-90-10", "endpoint", "Healthy"),
        ("lost-redistribute", "endpoint", "Progressing"),
        ("one-deployment-starting", "endpoint", "Progressing"),
        ("name-taken", "fraud-second", "Degraded"),
        ("model-invalid", "fraud-green", "Degraded"),
        ("signature-mismatch", "fraud-green", "Degraded"),
    ],
)
def test_argo_cd_sees_what_a_plan_ends_with(case: str, name: str, shown: str) -> None:
    status = statuses(ROOT / f"tests/golden/{case}/out/plan.yaml")[name]
    assert health(status, status["observedGeneration"])[0] == shown


def lines_of_ci(block: dict) -> list[str]:
    """The shell lines of a GitHub workflow, or of a GitLab pipeline."""
    steps = [step.get("run", "") for job in block.get("jobs", {}).values() for step in job["steps"]]
    scripts = [line for job in block.values() if isinstance(job, dict) for line in job.get("script", ())]
    return [line.strip() for text in (*steps, *scripts) for line in text.splitlines()]


def test_what_ci_calls_of_ours_can_be_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    called = [line for block in blocks() for line in lines_of_ci(block) if line.startswith("wye ")]
    assert len(called) == 2
    for line in called:
        assert isinstance(parser().parse_args(shlex.split(line)[1:]), argparse.Namespace)
