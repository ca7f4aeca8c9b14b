"""The dashboards of the chart, made from the names in `wye_operator.figures`: `charts/make.py` writes them down.

`tests/sight` draws them from a real Prometheus' answers, for docs/guides/dashboards.md.
"""

from __future__ import annotations

from typing import Any

from alerts import NO_CHECK, ON_PURPOSE, ROUTER_MEMORY
from panels import (
    BAD,
    DASHED,
    DOTTED,
    GOOD,
    RATE,
    STACKED,
    WARNS,
    Panel,
    and_all,
    bound,
    but,
    dashboard,
    errors,
    head,
    heat,
    listed,
    panel,
    quantile,
    rate,
    stat,
    states,
    steps,
    table,
    variable,
)

from wye_operator import figures as f

MOST = 20  # lines of a picture of all Endpoints
OF_ALL = f'{f.NAMESPACE}=~"$namespace"'
OF_ONE = f'{f.NAMESPACE}="$namespace", {f.ENDPOINT}="$endpoint"'
LIVE, MIRROR = (f'{f.TRAFFIC}="{traffic}"' for traffic in (f.LIVE, f.MIRROR))
BY = f"{f.NAMESPACE}, {f.ENDPOINT}"
NAMED = "{{namespace}}/{{endpoint}}"
DEPLOYMENT = "{{deployment}}"
NONE_IS_GOOD = steps((None, GOOD), (1, BAD))
DASHBOARD = "/d/wye-endpoint?var-source=${source}&var-namespace=%s&var-endpoint=%s&${__url_time_range}"
LINK = {"title": "Its dashboard", "url": DASHBOARD % ("${__field.labels.namespace}", "${__field.labels.endpoint}")}
LINK_OF_ROW = {"title": "Its dashboard", "url": DASHBOARD % ("${__data.fields.namespace}", "${__data.fields.endpoint}")}


def coloured(*bounds: tuple[float, str]) -> Panel:
    """A cell that is coloured from a value on."""
    colours = steps((None, "text"), *bounds)
    return {"thresholds": colours, "custom.cellOptions": {"type": "color-text"}, "color": {"mode": "thresholds"}}


ALARM = coloured((1, BAD))


def highest(query: str) -> str:
    """Of a fleet, as many lines as one can tell apart."""
    return f"topk({MOST}, {query})"


def fleet() -> dict[str, Any]:
    """All Endpoints: who hurts."""
    silent = f'{f.ENDPOINT_SERVING}{{{OF_ALL}, {f.REASON}!~"{ON_PURPOSE}"}} == 0'
    firing = f'ALERTS{{alertname=~"Wye.*", alertstate="firing", {f.NAMESPACE}=~"$namespace|"}}'
    each = f"sum by (alertname, {BY}, {f.DEPLOYMENT}) ({firing})"
    alerts = and_all(each, f"count({firing})", "alertname")
    pressure = f"max by ({BY}) ({f.PRESSURE}{{{OF_ALL}}})"
    columns = (
        ("Alerts", "none", f"sum by ({BY}) ({firing}) or 0 * max by ({BY}) ({f.ENDPOINT_READY}{{{OF_ALL}}})", ALARM),
        ("Requests", "reqps", rate(f.ASKED_BY_CLASS, OF_ALL, BY), {}),
        ("Errors", "percentunit", errors(f.ASKED_BY_CLASS, OF_ALL, BY), coloured((0.001, WARNS), (0.01, BAD))),
        ("p50", "ms", quantile("0.50", f.ASKED_TIME, OF_ALL, BY), {}),
        ("p99", "ms", quantile("0.99", f.ASKED_TIME, OF_ALL, BY), {}),
        ("Deployments not ready", "none", f"sum by ({BY}) (1 - {f.DEPLOYMENT_READY}{{{OF_ALL}}})", ALARM),
        ("Serving", "bool_yes_no", f"max by ({BY}) ({f.ENDPOINT_SERVING}{{{OF_ALL}}})", {}),
    )
    lines = (
        ("Requests", "reqps", rate(f.ASKED_BY_CLASS, OF_ALL, BY), {}),
        ("Answers of 500 and more", "percentunit", errors(f.ASKED_BY_CLASS, OF_ALL, BY), {}),
        ("p99, slow callers included", "ms", quantile("0.99", f.ASKED_TIME, OF_ALL, BY), {}),
        ("Routers: connections of callers", "short", f"sum by ({BY}) ({f.CONNECTIONS}{{{OF_ALL}}})", {}),
        ("Routers: memory, of what is allowed", "percent", pressure, bound(ROUTER_MEMORY)),
    )
    return dashboard(
        "wye-fleet",
        "Wye: all Endpoints",
        [variable(f.NAMESPACE, f"label_values({f.ENDPOINT_READY}, {f.NAMESPACE})", everything=True)],
        [
            stat("Endpoints", f"count({f.ENDPOINT_READY}{{{OF_ALL}}})", steps((None, GOOD))),
            stat("Endpoints that do not serve", f"count({silent}) or vector(0)", NONE_IS_GOOD),
            stat(
                "Deployments that are not ready",
                f"count({f.DEPLOYMENT_READY}{{{OF_ALL}}} == 0) or vector(0)",
                NONE_IS_GOOD,
            ),
            stat("Alerts that fire", f"count({firing}) or vector(0)", NONE_IS_GOOD),
            but(table("Who hurts (a click leads there)", columns, "Alerts"), "^endpoint", links=[LINK_OF_ROW]),
            states(
                "Alerts, since when",
                (alerts, "{{alertname}} {{endpoint}} {{deployment}}"),
                NONE_IS_GOOD,
            ),
            *(panel(title, unit, (highest(query), NAMED), links=[LINK], **more) for title, unit, query, more in lines),
            panel(
                "Refused with 429",
                "reqps",
                (highest(rate(f.DROPPED, OF_ALL, BY)), f"{NAMED} by a model"),
                (highest(rate(f.RATE_LIMITED, OF_ALL, BY)), f"{NAMED} by its router"),
            ),
        ],
    )


def endpoint() -> dict[str, Any]:
    """One Endpoint: its Deployments side by side, and its mirror."""
    names = f'label_values({f.ENDPOINT_READY}{{{f.NAMESPACE}="$namespace"}}, {f.ENDPOINT})'
    return dashboard(
        "wye-endpoint",
        "Wye: one Endpoint",
        [
            variable(f.NAMESPACE, f"label_values({f.ENDPOINT_READY}, {f.NAMESPACE})"),
            variable(f.ENDPOINT, names),
        ],
        [
            *(head("Deployments side by side, as callers see them"), *side_by_side()),
            *(head("Split"), *split()),
            *(head("Mirror: nobody waits for it"), *mirror()),
            *(head("Inside the models"), *models()),
            *(head("Routers and callers"), *routers()),
        ],
    )


def side_by_side() -> list[Panel]:
    """Rate, errors, duration."""
    by, live = f.DEPLOYMENT, f"{OF_ONE}, {LIVE}"
    shares = ("0.99", "0.50")
    latencies = [(quantile(share, f.TIME, live, by), f"{DEPLOYMENT} p{share[2:]}") for share in shares]
    reasons = ((f.RETRIES, "once more"), (f.CONNECT_FAILED, "no connection"), (f.TIMEOUTS, "timed out"))
    failures = [(rate(name, live, by), f"{DEPLOYMENT} {words}") for name, words in reasons]
    statuses = rate(f.REQUESTS, live, f"{by}, {f.STATUS}")
    cells = f"sum by (le) (increase({f.ASKED_TIME}_bucket{{{OF_ONE}}}[{RATE}]))"
    return [
        panel("Requests", "reqps", (rate(f.REQUESTS_BY_CLASS, live, by), DEPLOYMENT)),
        panel("Answers of 500 and more", "percentunit", (errors(f.REQUESTS_BY_CLASS, live, by), DEPLOYMENT)),
        but(panel("p99, and p50 (dashed)", "ms", *latencies), "p50", **DASHED),
        listed(panel("Answers by status", "reqps", (statuses, "{{deployment}} {{envoy_response_code}}"))),
        heat("Latency: all answers of the Endpoint", cells),
        listed(panel("Sent once more, no connection, timed out", "reqps", *failures)),
    ]


def split() -> list[Panel]:
    """What is in effect, and what came of it."""
    by, live = f.DEPLOYMENT, f"{OF_ONE}, {LIVE}"
    answered, all_answered = (rate(f.REQUESTS_BY_CLASS, live, each) for each in (by, ""))
    shares = [
        (f"max by ({by}) ({name}{{{live}}})", f"{DEPLOYMENT}{words}")
        for name, words in ((f.PERCENT, ""), (f.PERCENT_ASKED, " asked"))
    ]
    seen = f"100 * {answered} / ignoring({by}) group_left() {all_answered}"
    return [
        but(panel("In effect, and asked (dashed)", "percent", *shares, max=100), "asked", **DASHED),
        panel("Seen by the routers", "percent", (seen, DEPLOYMENT), custom=STACKED, max=100),
    ]


def mirror() -> list[Panel]:
    """Whether the shadow gets its copies, and how it does."""
    by, copies = f.DEPLOYMENT, f"{OF_ONE}, {MIRROR}"
    not_made = " + ".join(rate(name, copies, by) for name in f.NOT_MADE)
    p99 = [
        (quantile("0.99", f.TIME, f"{OF_ONE}, {traffic}", by), f"{DEPLOYMENT}{words}")
        for traffic, words in ((MIRROR, ""), (LIVE, " live"))
    ]
    return [
        panel(
            "Copies made, and not made",
            "reqps",
            (f"clamp_min({rate(f.REQUESTS_BY_CLASS, copies, by)} - ({not_made}), 0)", f"{DEPLOYMENT} made"),
            (not_made, f"{DEPLOYMENT} not made"),
            (rate(f.UNCOPIED, OF_ONE, f.ENDPOINT), "too large, or of no named size"),
        ),
        but(panel("p99 of copies, and of live answers (dashed)", "ms", *p99), "live", **DASHED),
    ]


def models() -> list[Panel]:
    """What instances say themselves."""
    by = f.DEPLOYMENT
    left = rate(f.DROPPED, OF_ONE, f"{by}, {f.REASON}")
    times = [
        (quantile("0.99", name, f"{OF_ONE}, {NO_CHECK}", by), f"{DEPLOYMENT} {words}")
        for name, words in ((f.ANSWER_TIME, "request"), (f.RUN_TIME, "run"))
    ]
    # a router's cluster has the Service of its instances besides them, for when it knows too few
    instances = panel(
        "Instances: ready, asked (dashed), seen by the routers (dotted)",
        "none",
        (f"max by ({by}) ({f.READY_REPLICAS}{{{OF_ONE}}})", f"{DEPLOYMENT} ready"),
        (f"max by ({by}) ({f.REPLICAS}{{{OF_ONE}}})", f"{DEPLOYMENT} asked"),
        (f"clamp_min(max by ({by}) ({f.HEALTHY}{{{OF_ONE}, {LIVE}}}) - 1, 0)", f"{DEPLOYMENT} seen"),
        decimals=0,
    )
    return [
        but(panel("p99 of a request in the pod, and of its run (dashed)", "s", *times), "run", **DASHED),
        but(but(instances, "asked", **DASHED), "seen", **DOTTED),
        panel("Waiting for a free place", "none", (f"sum by ({by}) ({f.QUEUED}{{{OF_ONE}}})", DEPLOYMENT)),
        listed(panel("Left without an answer of the model", "reqps", (left, "{{deployment}} {{reason}}"))),
    ]


def routers() -> list[Panel]:
    """Load of the routers."""
    moved = ((f.BYTES_IN, "in"), (f.BYTES_OUT, "out"))
    pressure = f"max by (pod) ({f.PRESSURE}{{{OF_ONE}}})"
    return [
        panel("Connections of callers", "none", (f"sum by (pod) ({f.CONNECTIONS}{{{OF_ONE}}})", "{{pod}}")),
        panel("Bytes of callers", "Bps", *((rate(name, OF_ONE, f.ENDPOINT), words) for name, words in moved)),
        panel("Memory, of what is allowed", "percent", (pressure, "{{pod}}"), **bound(ROUTER_MEMORY)),
        panel(
            "Refused with 429 by the routers",
            "reqps",
            (rate(f.RATE_LIMITED, OF_ONE, "pod"), "{{pod}}"),
        ),
    ]


def operator() -> dict[str, Any]:
    """The operator's own work."""
    times = ((f.PASS_TIME, "a pass"), (f.WAIT_TIME, "waits for one"))
    quantiles = [
        (f"histogram_quantile(0.99, sum by (le) (rate({name}_bucket[{RATE}])))", words) for name, words in times
    ]
    wrong = f"rate({f.API_ERRORS}[{RATE}])"
    writes = f"sum by (verb, resource) (rate({f.WRITES}[{RATE}]))"
    failed = f'sum(increase({f.PASSES}{{result="failed"}}[15m])) or vector(0)'
    return dashboard(
        "wye-operator",
        "Wye: the operator",
        [],
        [
            stat("Leaders (1 is right)", f"sum({f.LEADER}) or vector(0)", steps((None, BAD), (1, GOOD), (2, WARNS))),
            stat("Endpoints that wait for a pass", f"sum({f.WAITING})", steps((None, GOOD), (50, WARNS))),
            stat("Passes that failed in 15 minutes", failed, steps((None, GOOD), (1, WARNS), (4, BAD))),
            stat("Endpoints it looks after", f"count({f.ENDPOINT_READY})", steps((None, GOOD))),
            panel("Passes, by what came of them", "ops", (f"sum by (result) (rate({f.PASSES}[{RATE}]))", "{{result}}")),
            panel("p99: how long a pass takes, and an Endpoint waits for one", "s", *quantiles),
            listed(panel("Writes", "ops", (writes, "{{verb}} {{resource}}"))),
            panel("Calls of the API server", "ops", (f"sum by (verb) (rate({f.API_CALLS}[{RATE}]))", "{{verb}}")),
            panel(
                "Calls answered with an error, by status; pods that did not answer",
                "ops",
                (and_all(f"sum by (status) ({wrong})", f"sum({wrong})", "status"), "{{status}}"),
                (f"sum(rate({f.UNHEARD}[{RATE}])) or vector(0)", "no answer"),
            ),
            listed(panel("Objects in its store", "none", (f"max by (resource) ({f.OBJECTS})", "{{resource}}"))),
        ],
    )


def every() -> dict[str, dict[str, Any]]:
    """By the name of its file."""
    return {each["uid"]: each for each in (fleet(), endpoint(), operator())}
