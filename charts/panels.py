"""What a dashboard is made of, as Grafana reads it: queries, panels, and where they stand, for `dashboards`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from wye_operator import figures as f

SOURCE = {"type": "prometheus", "uid": "${source}"}
RATE = "$__rate_interval"
WIDTH = 24
LINE, STAT, HALF, WHOLE = ({"w": w, "h": h} for w, h in ((WIDTH, 1), (6, 4), (12, 8), (WIDTH, 8)))
GOOD, WARNS, BAD = "green", "orange", "red"
LINES = {"lineWidth": 2, "fillOpacity": 8, "showPoints": "never"}
COUNTED = ("reqps", "ops", "none", "short")  # of these, nothing at all is drawn on an axis to 1 instead of 100
STACKED = {**LINES, "lineWidth": 1, "fillOpacity": 40, "stacking": {"mode": "normal", "group": "A"}}
DASHED, DOTTED = (
    {"custom.lineStyle": {"fill": "dash", "dash": dash}, "custom.fillOpacity": 0, "custom.lineWidth": 1}
    for dash in ([10, 6], [2, 6])
)

Panel = dict[str, Any]
Query = tuple[str, str]  # and the words for its lines


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


def and_all(query: str, total: str, label: str) -> str:
    """Its lines, and one called `all` that is there, at 0, where there is none."""
    return f'{query} or label_replace({total} or vector(0), "{label}", "all", "", "")'


def panel(title: str, unit: str, *queries: Query, size: Panel = HALF, **defaults: Any) -> Panel:
    """Lines over time; `defaults` are fields as Grafana calls them."""
    custom = {**LINES, **({"axisSoftMax": 1} if unit in COUNTED else {})}
    return {
        "title": title,
        "type": "timeseries",
        "datasource": SOURCE,
        "gridPos": size,
        "targets": [_target(number, *query) for number, query in enumerate(queries)],
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, "custom": custom, **defaults}, "overrides": []},
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def listed(made: Panel) -> Panel:
    """Many lines, of which few are above nothing: those first, in a list beside the picture."""
    made["options"]["legend"] |= {
        **{"displayMode": "table", "placement": "right", "calcs": ["max"]},
        **{"sortBy": "Max", "sortDesc": True},
    }
    return made


def _target(number: int, query: str, words: str) -> Panel:
    """Only the runtimes' histograms have exemplars: to ask for others costs questions."""
    told = any(name in query for name in (f.ANSWER_TIME, f.RUN_TIME))
    names = {"refId": chr(ord("A") + number), "legendFormat": words}
    return {**names, "datasource": SOURCE, "expr": query, "exemplar": told}


def but(made: Panel, words: str, **properties: Any) -> Panel:
    """The lines whose name ends so look otherwise."""
    listed = [{"id": name, "value": value} for name, value in properties.items()]
    made["fieldConfig"]["overrides"].append(
        {"matcher": {"id": "byRegexp", "options": f"/{words}$/"}, "properties": listed}
    )
    return made


def steps(*listed: tuple[float | None, str]) -> Panel:
    """Colours from a value on; None is the lowest."""
    return {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in listed]}


def bound(value: float) -> Panel:
    """A dashed line at the percentage where an alert begins, as fields of `panel`."""
    custom = {**LINES, "thresholdsStyle": {"mode": "dashed"}}
    return {"thresholds": steps((None, "transparent"), (value, BAD)), "custom": custom, "max": 100}


def stat(title: str, query: str, colours: Panel) -> Panel:
    """One number, as large as it fits."""
    made = panel(title, "short", (query, ""), size=STAT, thresholds=colours, color={"mode": "thresholds"})
    del made["fieldConfig"]["defaults"]["custom"]
    reduced = {"calcs": ["lastNotNull"], "fields": "", "values": False}
    look = {"colorMode": "value", "graphMode": "area", "textMode": "value", "justifyMode": "center"}
    return {**made, "type": "stat", "options": {**look, "reduceOptions": reduced}}


def heat(title: str, query: str) -> Panel:
    """Latencies in milliseconds as a heat map."""
    made = panel(title, "short", (query, "{{le}}"))
    made["targets"][0] |= {"format": "heatmap"}
    del made["fieldConfig"]["defaults"]["custom"]
    colours = {"mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "fill": "dark-orange", "steps": 64}
    options = {
        "calculate": False,
        "cellGap": 1,
        "color": colours,
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "rowsFrame": {"layout": "auto"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "yAxis": {"axisPlacement": "left", "unit": "ms"},
    }
    return {**made, "type": "heatmap", "options": options}


def states(title: str, query: Query, colours: Panel) -> Panel:
    """A bar for each line of a query, from when to when."""
    made = panel(title, "none", query, size=WHOLE, thresholds=colours, color={"mode": "thresholds"})
    made["fieldConfig"]["defaults"]["custom"] = {"fillOpacity": 80, "lineWidth": 0}
    hidden = {"showLegend": False, "displayMode": "list", "placement": "bottom"}
    options = {"showValue": "never", "rowHeight": 0.8, "mergeValues": True, "legend": hidden}
    return {**made, "type": "state-timeline", "options": {**options, "tooltip": {"mode": "single"}}}


def table(title: str, columns: Sequence[tuple[str, str, str, Panel]], sort: str) -> Panel:
    """A line for each set of labels: `columns` are a head, unit, query and more fields. The highest `sort` first."""
    made = panel(title, "short", *((query, head) for head, _, query, _ in columns), size=WHOLE)
    nothing = {"type": "special", "options": {"match": "null+nan", "result": {"text": "-"}}}
    made["fieldConfig"]["defaults"] = {"custom": {"align": "auto", "filterable": False}, "mappings": [nothing]}
    names = {}
    for target, (head, unit, _, more) in zip(made["targets"], columns, strict=True):
        target |= {"format": "table", "instant": True, "range": False}
        names[f"Value #{target['refId']}"] = head
        but(made, f"^{head}", unit=unit, **more)
    shown = {"excludeByName": {"Time": True}, "renameByName": names}
    transformed = [{"id": "merge", "options": {}}, {"id": "organize", "options": shown}]
    options = {"showHeader": True, "cellHeight": "sm", "sortBy": [{"displayName": sort, "desc": True}]}
    return {**made, "type": "table", "transformations": transformed, "options": options}


def head(title: str) -> Panel:
    """A line above panels that belong together."""
    return {"title": title, "type": "row", "collapsed": False, "panels": [], "targets": [], "gridPos": LINE}


def variable(name: str, query: str, *, everything: bool = False) -> Panel:
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


def dashboard(uid: str, title: str, variables: Sequence[Panel], panels: Sequence[Panel]) -> Panel:
    """A page, with links to the other ones."""
    source = {"name": "source", "type": "datasource", "query": "prometheus", "label": "Prometheus"}
    others = {"type": "dashboards", "tags": ["wye"], "title": "Wye", "keepTime": True, "includeVars": False}
    return {
        "uid": uid,
        "title": title,
        "tags": ["wye"],
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "links": [others],
        "templating": {"list": [source, *variables]},
        "panels": list(_placed(panels)),
    }


def _placed(panels: Sequence[Panel]) -> Iterator[Panel]:
    """From left to right, and a new row where one does not fit."""
    x = y = height = 0
    for number, each in enumerate(panels, 1):
        size = each["gridPos"]
        if x + size["w"] > WIDTH:
            x, y, height = 0, y + height, 0
        yield {"id": number, **each, "gridPos": {"x": x, "y": y, **size}}
        x, height = x + size["w"], max(height, size["h"])
