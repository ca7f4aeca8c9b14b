"""A real Prometheus beside the cluster, in its network: it scrapes what the chart's PodMonitors select, by its rules.

Monitors and rules are read from the API server, through the definitions of the Prometheus operator (of its Go module).
What that operator makes of a PodMonitor is written down in `scrapes`, as its own generator does it.
"""

from __future__ import annotations

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from cluster.harness.build import PROMETHEUS, build
from cluster.harness.golang import environment
from cluster.harness.say import output
from cluster.kube import Cluster
from cluster.serving import waited

MODULE = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
SUM = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="
KINDS = ("podmonitors", "prometheusrules")
PORT = 9090
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
SPAN = re.compile(r"(?<=[\[:])\d+[smhd](?=[\]:])")  # also both of a subquery


def definitions() -> list[Path]:
    """The CustomResourceDefinitions of monitors and rules, as the Prometheus operator releases them."""
    go, env = environment()
    found = json.loads(output([go, "mod", "download", "-json", MODULE], cwd="/", env=env))
    assert found["Sum"] == SUM
    return [Path(found["Dir"], f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml") for kind in KINDS]


def scrapes(monitor: Mapping[str, Any], kubeconfig: str) -> list[dict[str, Any]]:
    """What the Prometheus operator makes of a PodMonitor (generatePodMonitorConfig), of those fields that ours has."""
    metadata, spec = monitor["metadata"], monitor["spec"]
    name = f"{metadata['namespace']}/{metadata['name']}"
    every = spec.get("namespaceSelector", {}).get("any")
    there = {} if every else {"names": spec.get("namespaceSelector", {}).get("matchNames", [metadata["namespace"]])}
    found = {"role": "pod", "kubeconfig_file": kubeconfig, "namespaces": there}
    return [
        {
            "job_name": f"podMonitor/{name}/{number}",
            "honor_labels": each.get("honorLabels", False),
            "kubernetes_sd_configs": [found],
            "scrape_interval": each["interval"],
            "metrics_path": each["path"],
            "relabel_configs": [*_selected(spec["selector"]["matchLabels"], each["port"]), *_named(name, each)],
            "metric_relabel_configs": _snake(each.get("metricRelabelings", ())),
        }
        for number, each in enumerate(spec["podMetricsEndpoints"])
    ]


def _selected(labels: Mapping[str, str], port: str) -> Iterator[dict[str, Any]]:
    """Which pods, and which of their ports."""
    yield {"action": "drop", "source_labels": ["__meta_kubernetes_pod_phase"], "regex": "(Failed|Succeeded)"}
    for key, value in sorted(labels.items()):
        plain = re.sub(r"\W", "_", key)
        sources = [f"__meta_kubernetes_pod_{what}_{plain}" for what in ("label", "labelpresent")]
        yield {"action": "keep", "source_labels": sources, "regex": f"({value});true"}
    yield {"action": "keep", "source_labels": ["__meta_kubernetes_pod_container_port_name"], "regex": port}


def _named(name: str, each: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The labels of everything that comes from there; `endpoint` is the port's name where the monitor says no other."""
    for source, target in (("namespace", "namespace"), ("pod_container_name", "container"), ("pod_name", "pod")):
        yield {"source_labels": [f"__meta_kubernetes_{source}"], "target_label": target}
    yield {"target_label": "job", "replacement": name}
    yield {"target_label": "endpoint", "replacement": each["port"]}
    yield from _snake(each.get("relabelings", ()))


def _snake(relabelings: Any) -> list[dict[str, Any]]:
    """Prometheus' own names of the fields."""
    return [{re.sub("[A-Z]", lambda m: f"_{m[0].lower()}", k): v for k, v in each.items()} for each in relabelings]


def faster(groups: list[dict[str, Any]], times: int) -> list[dict[str, Any]]:
    """The rules with all their times shorter, so that what takes an hour takes `times` less; nothing else differs."""

    def shorter(span: str) -> str:
        return f"{int(span[:-1]) * SECONDS[span[-1]] * 1000 // times}ms"

    return [
        {
            **group,
            "rules": [
                {**rule, "expr": SPAN.sub(lambda m: shorter(m[0]), rule["expr"]), "for": shorter(rule["for"])}
                for rule in group["rules"]
            ],
        }
        for group in groups
    ]


@dataclass(frozen=True)
class Prometheus:
    """One that runs."""

    url: str

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The samples of now: `metric`, their labels, and `value`."""
        return self._asked("query", query=expression)["result"]

    def value(self, expression: str) -> float:
        """That of the only sample; 0 where there is none."""
        [*found] = self.query(expression)
        assert len(found) < 2, found
        return float(found[0]["value"][1]) if found else 0.0

    def alerts(self) -> list[dict[str, str]]:
        """The labels of those that fire now."""
        return [each["labels"] for each in self._asked("alerts")["alerts"] if each["state"] == "firing"]

    def exemplars(self, expression: str) -> list[dict[str, Any]]:
        """Of the last minutes."""
        found = self._asked("query_exemplars", query=expression, start=0, end="9999999999")
        return [each for series in found for each in series["exemplars"]]

    def _asked(self, what: str, **given: object) -> Any:
        with urllib.request.urlopen(f"{self.url}/api/v1/{what}?{urllib.parse.urlencode(given)}", timeout=60) as answer:
            return json.load(answer)["data"]

    def is_ready(self) -> bool:
        """It has begun, and has its rules."""
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=10) as answer:
                return answer.status == 200
        except OSError:
            return False


@contextmanager
def running(cluster: Cluster, folder: Path, times: int = 1, interval: str = "30s") -> Iterator[Prometheus]:
    """With all monitors and rules of the cluster; the rules are so many times faster than written."""
    every = ("get", "-A")
    monitors = cluster.json(*every, "podmonitors.monitoring.coreos.com")["items"]
    rules = cluster.json(*every, "prometheusrules.monitoring.coreos.com")["items"]
    kubeconfig = str(cluster.backend.kubeconfig())
    groups = [group for each in rules for group in each["spec"]["groups"]]
    settings = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "rule_files": [str(folder / "rules.yaml")],
        "scrape_configs": [one for monitor in monitors for one in scrapes(monitor, kubeconfig)],
    }
    (folder / "rules.yaml").write_text(yaml.safe_dump({"groups": faster(groups, times)}))
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(settings))
    [address] = [
        each["address"]
        for each in cluster.json("get", "nodes")["items"][0]["status"]["addresses"]
        if each["type"] == "InternalIP"
    ]
    argv = [
        str(build(PROMETHEUS, ["prometheus"]) / "prometheus"),
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=0.0.0.0:{PORT}",
        "--enable-feature=exemplar-storage",
    ]
    found = Prometheus(f"http://{address}:{PORT}")
    with (
        (folder / "prometheus.log").open("w") as log,
        subprocess.Popen(cluster.backend.run(argv), stdout=log, stderr=log) as process,
    ):
        try:
            waited(found.is_ready)
            yield found
        finally:
            process.terminate()
