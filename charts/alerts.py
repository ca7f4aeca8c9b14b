"""The alerts of the chart, made from the names in `wye_operator.figures`: `charts/make.py` writes them down.

Words between @ are values of the chart, which its template fills in. Each alert has a page in docs/runbook.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wye_operator import figures as f
from wye_operator.render import memory

TARGET, LATENCY_TARGET, SLOW, RUNBOOKS = "@AVAILABILITY@", "@FAST@", "@MILLISECONDS@", "@RUNBOOKS@"
DEFAULTS = {TARGET: "99.9", LATENCY_TARGET: "99", SLOW: "1000", RUNBOOKS: "docs/runbook"}
ENDPOINT = f"{f.NAMESPACE}, {f.ENDPOINT}"
DEPLOYMENT = f"{ENDPOINT}, {f.DEPLOYMENT}"
THE_ENDPOINT = "{{ $labels.namespace }}/{{ $labels.endpoint }}"
THE_DEPLOYMENT = "Deployment {{ $labels.deployment }} of {{ $labels.namespace }}/{{ $labels.endpoint }}"
# How much faster than allowed the budget of a month is used up, over a long window, and whether it still is.
BURNS = (("14.4", "1h", "5m", "critical"), ("6", "6h", "30m", "critical"), ("3", "1d", "2h", "warning"))
FAILED = f'{f.CLASS}="5"'
ON_PURPOSE = "NoDeployment|NoLiveTraffic"
NO_CHECK = f'{f.TRAFFIC}!="{f.CHECK}"'  # a router asks once a second how a model is
NO_PLACE = "queue_full|queue_wait"
ROUTER_MEMORY = 60  # percent: below where routers begin to make room by themselves, as above it none stays

Rule = dict[str, Any]


def share_of_errors(window: str) -> str:
    """Of what callers were answered, by Endpoint."""
    asked = f"rate({f.ASKED_BY_CLASS}%s[{window}])"
    errors = asked % f"{{{FAILED}}}"
    return f"sum by ({ENDPOINT}) ({errors}) / sum by ({ENDPOINT}) ({asked % ''})"


def share_of_slow(window: str) -> str:
    """What took longer than it should, by Endpoint."""
    bound = f"{SLOW}|{SLOW}.0"  # Prometheus 3 writes whole numbers with a point
    fast = f'rate({f.ASKED_TIME}_bucket{{le=~"{bound}"}}[{window}])'
    return f"1 - sum by ({ENDPOINT}) ({fast}) / sum by ({ENDPOINT}) (rate({f.ASKED_TIME}_count[{window}]))"


def rule(name: str, expression: str, lasts: str, severity: str, words: str) -> Rule:
    """One alert with its page."""
    return {
        "alert": name,
        "expr": expression,
        "for": lasts,
        "labels": {"severity": severity},
        "annotations": {"summary": words, "runbook_url": f"{RUNBOOKS}/{name}.md"},
    }


def burns() -> list[Rule]:
    """Two budgets, each over three pairs of windows."""
    found = []
    for factor, long, short, severity in BURNS:
        for name, share, target, words in (
            ("WyeErrors", share_of_errors, TARGET, "too many answers of 500 and more"),
            ("WyeSlow", share_of_slow, LATENCY_TARGET, f"too many answers take longer than {SLOW} ms"),
        ):
            most = f"{factor} * (1 - {target} / 100)"
            expression = f"({share(long)}) > {most}\nand\n({share(short)}) > {most}"
            told = f"{THE_ENDPOINT}: {words} ({{{{ $value | humanizePercentage }}}} of the last {long})"
            made = rule(name, expression, "2m" if severity == "critical" else "15m", severity, told)
            found.append(made | {"labels": {**made["labels"], "window": long}})
    return found


def deployments() -> list[Rule]:
    """What hurts one Deployment."""
    live, mirror = (f'{f.TRAFFIC}="{traffic}"' for traffic in (f.LIVE, f.MIRROR))
    answers = f"sum by ({DEPLOYMENT}) (rate({f.REQUESTS_BY_CLASS}{{%s}}[5m]))"
    failing = f"{answers % f'{live}, {FAILED}'} / {answers % live} > 0.05"
    turned_away = f'sum by ({DEPLOYMENT}) (rate({f.DROPPED}{{{f.REASON}=~"{NO_PLACE}"}}[5m]))'
    answered = f"sum by ({DEPLOYMENT}) (rate({f.ANSWERED}{{{NO_CHECK}}}[5m]))"
    not_made = " + ".join(f"sum by ({DEPLOYMENT}) (rate({name}{{{mirror}}}[15m]))" for name in f.NOT_MADE)
    # what was not made is answered 503 by the router itself, so it is in there
    wanted = f"sum by ({DEPLOYMENT}) (rate({f.REQUESTS_BY_CLASS}{{{mirror}}}[15m]))"
    return [
        rule(
            "WyeDeploymentFails",
            failing,
            "2m",
            "warning",
            f"{THE_DEPLOYMENT}: {{{{ $value | humanizePercentage }}}} errors",
        ),
        rule(
            "WyeNoReadyPod",
            f"{f.READY_REPLICAS} == 0 and {f.REPLICAS} > 0",
            "2m",
            "critical",
            f"{THE_DEPLOYMENT} has no ready pod",
        ),
        rule(
            "WyeQueueFull",
            f"{turned_away} / {answered} > 0.01",
            "5m",
            "warning",
            f"{THE_DEPLOYMENT} turns requests away (429): too few instances",
        ),
        rule(
            "WyeMirrorDropped",
            f"({not_made}) / {wanted} > 0.05",
            "15m",
            "warning",
            f"{THE_DEPLOYMENT} misses copies: its mirror sees too little",
        ),
    ]


def endpoints() -> list[Rule]:
    """What hurts all callers of an Endpoint, or will."""
    rejected = " or ".join(f"increase({name}[10m]) > 0" for name in f.REJECTED)
    said = f'{f.ENDPOINT_READY}{{{f.REASON}="%s"}} == 0'
    return [
        rule(
            "WyeNotServing",
            f'{f.ENDPOINT_SERVING}{{{f.REASON}!~"{ON_PURPOSE}"}} == 0',
            "1m",
            "critical",
            f"{THE_ENDPOINT} answers no plain request ({{{{ $labels.reason }}}})",
        ),
        rule(
            "WyeConfigurationRejected",
            f"max by ({ENDPOINT}) ({rejected} or {said % 'RouterRejected'})",
            "1m",
            "warning",
            f"a router of {THE_ENDPOINT} refused its configuration: the last good one serves",
        ),
        rule(
            "WyeRouterBehind",
            # one that stands still is replaced after a minute where another is up to date, and that may be in vain
            f"count_over_time(({said % 'RouterBehind'})[5m:30s]) > 4",
            "1m",
            "warning",
            f"a router of {THE_ENDPOINT} did not take the newest configuration",
        ),
        rule(
            "WyeRouterMemory",
            f"max by ({ENDPOINT}, pod) ({f.PRESSURE}) > {ROUTER_MEMORY}",
            "5m",
            "warning",
            f"router {{{{ $labels.pod }}}} of {THE_ENDPOINT} uses {{{{ $value }}}} % of its room for callers; "
            f"from {memory.RESET[0] * 100:g} it resets streams and at {memory.REFUSE * 100:g} it answers 503",
        ),
    ]


def operators() -> list[Rule]:
    """What keeps edits from taking effect; serving does not notice."""
    nobody = f"(sum({f.LEADER}) or vector(0)) < 1"
    idle = f"sum({f.WAITING}) > 0 unless sum(increase({f.PASSES}[10m])) > 0"
    return [
        rule(
            "WyeOperatorStandsStill",
            f"{nobody} or ({idle})",
            "5m",
            "critical",
            "the operator does nothing: no edit takes effect, no fail-over happens between Deployments",
        ),
        rule(
            "WyePassesFail",
            f'sum(increase({f.PASSES}{{result="failed"}}[15m])) > 3',
            "5m",
            "warning",
            "passes of the operator fail: {{ $value | humanize }} in 15 minutes",
        ),
    ]


def groups() -> dict[str, Any]:
    """As Prometheus reads them."""
    parts = {
        "wye.budgets": burns(),
        "wye.deployments": deployments(),
        "wye.endpoints": endpoints(),
        "wye.operator": operators(),
    }
    return {"groups": [{"name": name, "rules": rules} for name, rules in parts.items()]}


def names() -> Sequence[str]:
    """Of all alerts, each once."""
    return sorted({each["alert"] for group in groups()["groups"] for each in group["rules"]})
