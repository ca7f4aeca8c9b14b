"""Alerts and dashboards: what Prometheus itself says of them, and that every alert can fire and keep still."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from chart.conftest import ROOT, program
from cluster.harness.build import PROMETHEUS, build
from wye_operator import figures
from wye_operator.api.reasons import Reason
from wye_operator.render import memory
from wye_operator.render.stats import BUCKETS
from wye_operator.telemetry import HELP
from wye_runtime import metrics

sys.path.append(str(ROOT / "charts"))  # behind tests/, which has a make.py, too
import alerts
import dashboards

CASES = Path(__file__).parent / "alerts.yaml"
CONSTANTS = [each for name, each in vars(figures).items() if name.isupper()]
NAMES = {name for each in CONSTANTS for name in (each if isinstance(each, tuple) else (each,))}
METRIC = re.compile(r"\b((?:envoy|wye|process)_\w+)")
# labels with such a beginning are no metrics
LABELS = {figures.CLASS, figures.STATUS, figures.CLUSTER, "envoy_route"}
RUNBOOK = ROOT / "docs/runbook"


def filled(text: str) -> str:
    """As the chart's template does it, with the values that are its defaults."""
    for word, value in alerts.DEFAULTS.items():
        text = text.replace(word, value)
    return text


def expressions() -> dict[str, str]:
    """Every query of every alert and dashboard, by where it stands."""
    found = {f"{rule['alert']} {rule['labels']}": filled(rule["expr"]) for rule in rules()}
    for name, board in dashboards.every().items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$__rate_interval", "5m").replace("$namespace", "team")
                found[f"{name}: {panel['title']} {target['refId']}"] = query
    return found


def rules() -> list[dict]:
    return [rule for group in alerts.groups()["groups"] for rule in group["rules"]]


@pytest.fixture(scope="session")
def promtool() -> str:
    """Built from its Go module where `make e2e` has no other."""
    if os.environ.get("WYE_E2E") and not shutil.which("promtool"):
        return str(build(PROMETHEUS, ["promtool"]) / "promtool")
    return program("promtool", "prometheus")


def asked(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(list(map(str, command)), cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_every_metric_that_is_read_is_one_that_is_given_out() -> None:
    """tests/contract/test_figures.py and tests/render/test_stats.py ask those who give them out."""
    for where, expression in expressions().items():
        for found in set(METRIC.findall(expression)) - LABELS:
            plain = re.sub(f"({'|'.join(figures.PARTS)})$", "", found)
            assert {found, plain} & NAMES, f"{where} reads {found}, which is nobody's"


def test_every_value_of_a_label_that_is_asked_for_is_one_that_somebody_says() -> None:
    asked = " ".join(expressions().values())
    reasons = set(re.findall(r"\w+", " ".join(re.findall(r'reason(?:=|!=|=~|!~)"([^"]*)"', asked))))
    assert reasons > set(metrics.DROP_REASONS[2:])
    assert reasons <= {*metrics.DROP_REASONS, *(each.value for each in Reason)}
    traffic = set(re.findall(r'traffic!?="([^"]*)"', asked))
    assert traffic == {metrics.LIVE, metrics.MIRROR, metrics.CHECK}


def test_every_metric_that_a_page_names_is_one_that_is_given_out() -> None:
    of_runtimes = set(re.findall(r"^# TYPE (\w+)", metrics.Metrics().text()[0].decode(), re.MULTILINE))
    there = NAMES | set(HELP) | of_runtimes
    for page in (ROOT / "docs/concepts/metrics.md", ROOT / "docs/guides/monitoring.md", *RUNBOOK.glob("*.md")):
        for found in set(re.findall(r"\b(?:envoy|wye)_\w*[a-z]\b", page.read_text())) - LABELS:
            plain = re.sub(f"({'|'.join(figures.PARTS)})$", "", found)
            assert {found, plain} & there, f"{page.name} names {found}, which is nobody's"


def test_the_alert_and_the_dashboards_speak_of_a_routers_memory_before_it_makes_room_by_itself() -> None:
    assert 100 * memory.RESET[0] > alerts.ROUTER_MEMORY
    panels = [panel for board in dashboards.every().values() for panel in board["panels"]]
    shown = [panel for panel in panels if any(figures.PRESSURE in target["expr"] for target in panel["targets"])]
    steps = [panel["fieldConfig"]["defaults"]["thresholds"]["steps"] for panel in shown]
    assert [each["value"] for listed in steps for each in listed[1:]] == [alerts.ROUTER_MEMORY] * 2
    for page in (RUNBOOK / "WyeRouterMemory.md", RUNBOOK / "README.md"):
        assert f" {alerts.ROUTER_MEMORY} %" in page.read_text()


def test_a_line_is_called_by_labels_that_its_query_keeps() -> None:
    for name, board in dashboards.every().items():
        for panel in board["panels"]:
            for target in panel["targets"]:
                kept = set(re.findall(r"\w+", " ".join(re.findall(r"by \(([^)]*)\)", target["expr"]))))
                named = set(re.findall(r"{{(\w+)}}", target["legendFormat"]))
                assert named <= kept, f"{name}: {panel['title']}"


def test_every_alert_has_a_page_that_says_what_to_look_at_first() -> None:
    pages = {page.stem for page in RUNBOOK.glob("Wye*.md")}
    assert pages == set(alerts.names())
    for rule in rules():
        assert (ROOT / filled(rule["annotations"]["runbook_url"])) == RUNBOOK / f"{rule['alert']}.md"
    for name in pages:
        text = (RUNBOOK / f"{name}.md").read_text()
        assert text.startswith(f"# {name}\n")
        assert "## Look first\n\n```\n" in text
        assert f"({name}.md)" in (RUNBOOK / "README.md").read_text()


def test_the_bounds_of_the_chart_are_the_routers() -> None:
    schema = json.loads((ROOT / "charts/wye/values.schema.json").read_text())
    chosen = schema["properties"]["monitoring"]["properties"]["rules"]["properties"]["fastMilliseconds"]["enum"]
    assert set(chosen) <= set(BUCKETS)
    values = yaml.safe_load((ROOT / "charts/wye/values.yaml").read_text())["monitoring"]["rules"]
    given = [values[name] for name in ("availabilityPercent", "fastPercent", "fastMilliseconds", "runbooks")]
    assert list(map(str, given)) == list(alerts.DEFAULTS.values())


def test_nothing_is_on_by_default(helm) -> None:
    kinds = {each["kind"] for each in helm.objects("--set", "crds.install=false")}
    assert not kinds & {"PodMonitor", "PrometheusRule", "ConfigMap"}


def test_the_chart_renders_them_whole(helm) -> None:
    given = "-f", str(ROOT / "tests/chart/cases/monitoring/values.yaml"), "--set", "monitoring.dashboards.enabled=true"
    objects = helm.objects(*given)
    [rule] = [each for each in objects if each["kind"] == "PrometheusRule"]
    assert [r["alert"] for g in rule["spec"]["groups"] for r in g["rules"]] == [r["alert"] for r in rules()]
    text = json.dumps(rule)
    assert "@" not in text
    assert "https://wiki.example/wye/WyeErrors.md" in text
    boards = [each for each in objects if each["kind"] == "ConfigMap"]
    assert {name: json.loads(text) for each in boards for name, text in each["data"].items()} == {
        f"{name}.json": board for name, board in dashboards.every().items()
    }


@pytest.mark.parametrize(
    ("known", "missing"),
    [
        ((), "PodMonitor (monitoring.podMonitors) and PrometheusRule (monitoring.rules)"),
        (("PodMonitor",), "PrometheusRule (monitoring.rules)"),
        (("PodMonitor", "PrometheusRule"), ""),
    ],
)
def test_a_cluster_without_the_definitions_is_told_once_which_are_missing(helm, known, missing) -> None:
    given = ["-f", str(ROOT / "tests/chart/cases/monitoring/values.yaml"), "--set", "crds.install=false"]
    for each in ("apiregistration.k8s.io/v1", *(f"monitoring.coreos.com/v1/{kind}" for kind in known)):
        given += ["--api-versions", each]
    if not missing:
        assert helm.objects(*given)
        return
    with pytest.raises(ValueError, match="does not know") as said:
        helm.template(*given)
    assert f"this cluster does not know {missing} of monitoring.coreos.com/v1: install" in str(said.value)


def test_prometheus_reads_every_rule_and_each_fires_and_keeps_still(promtool, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(filled(yaml.safe_dump(alerts.groups())))
    asked(promtool, "check", "rules", "--lint=all", "--lint-fatal", "rules.yaml", cwd=tmp_path)
    cases = yaml.safe_load(CASES.read_text())
    expected = [test for case in cases["tests"] for test in case["alert_rule_test"]]
    fired = {test["alertname"] for test in expected if test["exp_alerts"]}
    silent = {test["alertname"] for test in expected if not test["exp_alerts"]}
    assert fired == silent == set(alerts.names())
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump({**cases, "rule_files": ["rules.yaml"]}))
    asked(promtool, "test", "rules", "--ignore-unknown-fields", "alerts.yaml", cwd=tmp_path)


def test_prometheus_reads_every_query(promtool, tmp_path: Path) -> None:
    listed = [
        {"record": "q:q", "expr": expression, "labels": {"n": str(n)}}
        for n, expression in enumerate(expressions().values())
    ]
    (tmp_path / "queries.yaml").write_text(yaml.safe_dump({"groups": [{"name": "q", "rules": listed}]}))
    asked(promtool, "check", "rules", "queries.yaml", cwd=tmp_path)
