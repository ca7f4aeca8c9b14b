"""The dashboards of the chart, made from the names in `wye_operator.figures`: `charts/make.py` writes them down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wye_operator import figures as f

SOURCE = {"type": "prometheus", "uid": "${source}"}
RATE = "$__rate_interval"
WIDTH, HEIGHT = 24, 8
OF_ALL = f'{f.NAMESPACE}=~"$namespace"'
OF_ONE = f'{f.NAMESPACE}="$namespace", {f.ENDPOINT}="$endpoint"'
LIVE, MIRROR = (f'{f.TRAFFIC}="{traffic}"' for traffic in (f.LIVE, f.MIRROR))
BY = f"{f.NAMESPACE}, {f.ENDPOINT}"
NAMED = "{{namespace}}/{{endpoint}}"
DEPLOYMENT = "{{deployment}}"

Panel = dict[str, Any]


def rate(name: str, labels: str, by: str) -> str:
    """Events a second, added up."""
    return f"sum by ({by}) (rate({name}{{{labels}}}[{RATE}]))"


def quantile(share: str, name: str, labels: str, by: str) -> str:
    """Of a histogram."""
    return f"histogram_quantile({share}, {rate(f'{name}_bucket', labels, f'{by}, le')})"


def errors(name: str, labels: str, by: str) -> str:
    """The share of answers of 500 and more."""
    some = rate(name, f'{labels}, {f.CLASS}="5"', by)
    return f"({some} or 0 * {rate(name, labels, by)}) / {rate(name, labels, by)}"


def panel(title: str, unit: str, *targets: tuple[str, str], kind: str = "timeseries", **more: Any) -> Panel:
    """One picture of some queries, each with the words for its lines."""
    listed = [
        {
            "refId": chr(ord("A") + number),
            "datasource": SOURCE,
            "expr": query,
            "legendFormat": words,
            "exemplar": kind == "timeseries",
        }
        for number, (query, words) in enumerate(targets)
    ]
    return {
        "title": title,
        "type": kind,
        "datasource": SOURCE,
        "targets": listed,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        **more,
    }


def heat(title: str, query: str) -> Panel:
    """Latencies as a heat map."""
    made = panel(
        title, "short", (query, "{{le}}"), kind="heatmap", options={"calculate": False, "yAxis": {"unit": "ms"}}
    )
    made["targets"][0] |= {"format": "heatmap"}
    return made


def fleet() -> dict[str, Any]:
    """All Endpoints: who hurts."""
    return dashboard(
        "wye-fleet",
        "Wye: all Endpoints",
        [variable(f.NAMESPACE, f"label_values({f.ENDPOINT_READY}, {f.NAMESPACE})", everything=True)],
        [
            panel(
                "Endpoints that do not serve",
                "short",
                (f"count({f.ENDPOINT_SERVING}{{{OF_ALL}}} == 0) or vector(0)", ""),
                kind="stat",
            ),
            panel(
                "Deployments that are not ready",
                "short",
                (f"count({f.DEPLOYMENT_READY}{{{OF_ALL}}} == 0) or vector(0)", ""),
                kind="stat",
            ),
            panel("Requests", "reqps", (rate(f.ASKED_BY_CLASS, OF_ALL, BY), NAMED)),
            panel("Answers of 500 and more", "percentunit", (errors(f.ASKED_BY_CLASS, OF_ALL, BY), NAMED)),
            panel("p99", "ms", (quantile("0.99", f.ASKED_TIME, OF_ALL, BY), NAMED)),
            panel(
                "Refused: too many",
                "reqps",
                (rate(f.DROPPED, OF_ALL, BY), f"{NAMED} (model)"),
                (rate(f.RATE_LIMITED, OF_ALL, BY), f"{NAMED} (router)"),
            ),
            panel("Routers: memory", "bytes", (f"sum by ({BY}) ({f.MEMORY}{{{OF_ALL}}})", NAMED)),
            panel("Connections", "short", (f"sum by ({BY}) ({f.CONNECTIONS}{{{OF_ALL}}})", NAMED)),
        ],
    )


def endpoint() -> dict[str, Any]:
    """One Endpoint: its Deployments side by side, and its mirror."""
    by, live, mirror = f.DEPLOYMENT, f"{OF_ONE}, {LIVE}", f"{OF_ONE}, {MIRROR}"
    answered, all_answered = (rate(f.REQUESTS_BY_CLASS, live, each) for each in (by, ""))
    seen = f"100 * {answered} / ignoring({by}) group_left() {all_answered}"
    not_made = " + ".join(f"sum by ({by}) (rate({name}{{{mirror}}}[{RATE}]))" for name in f.NOT_MADE)
    return dashboard(
        "wye-endpoint",
        "Wye: one Endpoint",
        [
            variable(f.NAMESPACE, f"label_values({f.ENDPOINT_READY}, {f.NAMESPACE})"),
            variable(f.ENDPOINT, f'label_values({f.ENDPOINT_READY}{{{f.NAMESPACE}="$namespace"}}, {f.ENDPOINT})'),
        ],
        [
            panel("Requests", "reqps", (rate(f.REQUESTS_BY_CLASS, live, by), DEPLOYMENT)),
            panel("Answers of 500 and more", "percentunit", (errors(f.REQUESTS_BY_CLASS, live, by), DEPLOYMENT)),
            panel(
                "p50 and p99",
                "ms",
                *((quantile(share, f.TIME, live, by), f"{DEPLOYMENT} p{share[2:]}") for share in ("0.50", "0.99")),
            ),
            panel(
                "Answers by status",
                "reqps",
                (rate(f.REQUESTS, live, f"{by}, {f.STATUS}"), "{{deployment}} {{envoy_response_code}}"),
            ),
            panel(
                "Split: asked, and seen by the router",
                "percent",
                (f"{f.PERCENT_ASKED}{{{live}}}", f"{DEPLOYMENT} asked"),
                (f"{f.PERCENT}{{{live}}}", f"{DEPLOYMENT} in effect"),
                (seen, f"{DEPLOYMENT} seen"),
            ),
            heat("Latency (ms)", f"sum by (le) (increase({f.ASKED_TIME}_bucket{{{OF_ONE}}}[{RATE}]))"),
            panel(
                "Mirror: copies made, and not made",
                "reqps",
                (rate(f.REQUESTS_BY_CLASS, mirror, by), f"{DEPLOYMENT} made"),
                (not_made, f"{DEPLOYMENT} not made"),
                (rate(f.UNCOPIED, OF_ONE, f.ENDPOINT), "too large, or of no named size"),
            ),
            panel(
                "Mirror: p99 beside live",
                "ms",
                (quantile("0.99", f.TIME, mirror, by), f"{DEPLOYMENT} (mirror)"),
                (quantile("0.99", f.TIME, live, by), DEPLOYMENT),
            ),
            panel(
                "Models: p99 in the pod, and of a run",
                "s",
                (quantile("0.99", f.ANSWER_TIME, OF_ONE, by), f"{DEPLOYMENT} request"),
                (quantile("0.99", f.RUN_TIME, OF_ONE, by), f"{DEPLOYMENT} run"),
            ),
            panel(
                "Models: queue, and who left it",
                "short",
                (f"sum by ({by}) ({f.QUEUED}{{{OF_ONE}}})", f"{DEPLOYMENT} waiting"),
                (rate(f.DROPPED, OF_ONE, f"{by}, {f.REASON}"), "{{deployment}} {{reason}}"),
            ),
            panel(
                "Instances: asked, ready, seen by the router",
                "short",
                (f"{f.REPLICAS}{{{OF_ONE}}}", f"{DEPLOYMENT} asked"),
                (f"{f.READY_REPLICAS}{{{OF_ONE}}}", f"{DEPLOYMENT} ready"),
                (f"max by ({by}) ({f.HEALTHY}{{{live}}})", f"{DEPLOYMENT} seen"),
            ),
            panel(
                "Sent once more, no connection, timed out",
                "reqps",
                *(
                    (rate(name, live, by), f"{DEPLOYMENT} {words}")
                    for name, words in (
                        (f.RETRIES, "once more"),
                        (f.CONNECT_FAILED, "no connection"),
                        (f.TIMEOUTS, "timed out"),
                    )
                ),
            ),
            panel(
                "Callers: connections, bytes in and out",
                "short",
                (f"sum({f.CONNECTIONS}{{{OF_ONE}}})", "connections"),
                (rate(f.BYTES_IN, OF_ONE, f.ENDPOINT), "bytes in"),
                (rate(f.BYTES_OUT, OF_ONE, f.ENDPOINT), "bytes out"),
            ),
        ],
    )


def operator() -> dict[str, Any]:
    """The operator's own work."""
    return dashboard(
        "wye-operator",
        "Wye: the operator",
        [],
        [
            panel("Leaders (1 is right)", "short", (f"sum({f.LEADER})", ""), kind="stat"),
            panel("Endpoints that wait for a pass", "short", (f"sum({f.WAITING})", "waiting")),
            panel("Passes", "ops", (f"sum by (result) (rate({f.PASSES}[{RATE}]))", "{{result}}")),
            panel(
                "How long a pass takes, and waits",
                "s",
                *(
                    (f"histogram_quantile(0.99, sum by (le) (rate({name}_bucket[{RATE}])))", words)
                    for name, words in ((f.PASS_TIME, "pass p99"), (f.WAIT_TIME, "wait p99"))
                ),
            ),
            panel("Writes", "ops", (f"sum by (verb, resource) (rate({f.WRITES}[{RATE}]))", "{{verb}} {{resource}}")),
            panel("Calls of the API server", "ops", (f"sum by (verb) (rate({f.API_CALLS}[{RATE}]))", "{{verb}}")),
            panel(
                "Calls refused, pods that did not answer",
                "ops",
                (f"sum(rate({f.API_ERRORS}[{RATE}])) or vector(0)", "refused"),
                (f"sum(rate({f.UNHEARD}[{RATE}])) or vector(0)", "no answer"),
            ),
            panel("Objects", "short", (f"max by (resource) ({f.OBJECTS})", "{{resource}}")),
        ],
    )


def variable(name: str, query: str, *, everything: bool = False) -> dict[str, Any]:
    """One to choose from."""
    return {
        "name": name,
        "type": "query",
        "datasource": SOURCE,
        "query": query,
        "refresh": 2,
        "sort": 1,
        "includeAll": everything,
        "multi": everything,
        **({"allValue": ".*", "current": {"text": "All", "value": "$__all"}} if everything else {}),
    }


def dashboard(uid: str, title: str, variables: Sequence[dict[str, Any]], panels: Sequence[Panel]) -> dict[str, Any]:
    """Panels, two in a row."""
    source = {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    half = WIDTH // 2
    placed = [
        {"id": n + 1, "gridPos": {"x": n % 2 * half, "y": n // 2 * HEIGHT, "w": half, "h": HEIGHT}, **each}
        for n, each in enumerate(panels)
    ]
    return {
        "uid": uid,
        "title": title,
        "tags": ["wye"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [source, *variables]},
        "panels": placed,
    }


def every() -> dict[str, dict[str, Any]]:
    """By the name of its file."""
    return {each["uid"]: each for each in (fleet(), endpoint(), operator())}
