"""What `wye top` shows: each Endpoint and Deployment with its rates, made of two looks at the pods. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from wye_operator import figures
from wye_operator.cli.drawing import Cell
from wye_operator.cli.samples import ALL, QUEUE, Place, Tally, total
from wye_operator.cli.seen import Deployment, Endpoint, Missing
from wye_operator.cli.tree import BAD, FAINT, GOOD, STRONG, WAITS
from wye_operator.cli.watching import Look, Pod, between

HEAD = (
    "ENDPOINT",
    "DEPLOYMENT",
    "TRAFFIC",
    "READY",
    "REQ/S",
    "ERRORS",
    "P50 MS",
    "P99 MS",
    "ACTIVE",
    "QUEUED",
    "LOST/S",
)
LEFT = 3  # columns of words; the others are numbers
ERRORS_SOME, ERRORS_MANY = 0.001, 0.01  # shares of answers from which on they are shown in colour
UNKNOWN = "-"


@dataclass(frozen=True, slots=True)
class Row:
    """One line. What nobody said is None, rates also before a second look. A queue stands in the first line of its
    Deployment. `lost`: copies that were not made, or who left a model's queue.
    """

    namespace: str
    endpoint: str
    deployment: str  # "" for the whole Endpoint
    traffic: str
    percent: float | None
    asked: float | None
    ready: int
    wanted: int
    requests_per_second: float | None = None
    error_share: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    active: int | None = None
    queued: int | None = None
    lost_per_second: float | None = None


def rows(endpoints: Iterable[Endpoint], first: Look | None, last: Look) -> list[Row]:
    """A line for each Endpoint, its Deployments below it, a mirror beside its live share."""
    counted = between(first, last) if first else {}
    seconds = last.at - first.at if first else 0.0
    found = []
    for endpoint in endpoints:
        its = [pod for pod in last.readings if (pod.namespace, pod.endpoint) == (endpoint.namespace, endpoint.name)]
        now = _together(its, last.readings)
        since = _together([pod for pod in its if pod in counted], counted) if seconds else {}
        listed = [*_lines(endpoint, sum(pod.is_router for pod in its))]
        for row in listed:
            queues = _queues(row, listed)
            found.append(_measured(row, _said(row, queues, now), _said(row, queues, since), seconds))
    return found


def _queues(row: Row, listed: Sequence[Row]) -> Sequence[str]:
    """Whose queues stand in a line: its own in the first one of a Deployment, all live ones in that of the Endpoint."""
    if not row.deployment:
        return [each.deployment for each in listed if each.deployment and each.traffic == figures.LIVE]
    first = next(each for each in listed if each.deployment == row.deployment)
    return [row.deployment] if row is first else []


Said = tuple[Tally | None, Tally | None]  # what routers say of a line, and what its models say of their queues


def _said(row: Row, queues: Sequence[str], tallies: Mapping[Place, Tally]) -> Said:
    own = [tallies[name, QUEUE] for name in queues if (name, QUEUE) in tallies]
    place = (row.deployment, row.traffic) if row.deployment else ALL
    return tallies.get(place), total(own) if own else None


def _together(pods: Sequence[Pod], readings: Mapping[Pod, Mapping[Place, Tally]]) -> dict[Place, Tally]:
    places = {place for pod in pods for place in readings[pod]}
    return {place: total(readings[pod][place] for pod in pods if place in readings[pod]) for place in places}


def _lines(endpoint: Endpoint, answered: int) -> Iterator[Row]:
    """`answered`: routers that did, for a twin, which has no pods."""
    ready = sum(pod.ready for pod in endpoint.routers) if endpoint.routers else answered
    its = endpoint.namespace, endpoint.name
    yield Row(*its, "", figures.LIVE, None, None, ready, max(endpoint.router_replicas, len(endpoint.routers)))
    for each in endpoint.deployments:
        yield from _shares(its, each)
    for one in endpoint.missing:
        yield from _shares(its, one)


def _shares(its: tuple[str, str], of: Deployment | Missing) -> Iterator[Row]:
    """Its live share, and its mirror where it has one."""
    ready, wanted = (of.ready_replicas, of.replicas) if isinstance(of, Deployment) else (0, 0)
    mirrored = bool(of.mirror.effect or of.mirror.asked)
    if not mirrored or of.traffic.effect or of.traffic.asked:
        yield Row(*its, of.name, figures.LIVE, of.traffic.effect, of.traffic.asked, ready, wanted)
    if mirrored:
        yield Row(*its, of.name, figures.MIRROR, of.mirror.effect, of.mirror.asked, ready, wanted)


def _measured(row: Row, now: Said, since: Said, seconds: float) -> Row:
    (routed, queue), told = now, dict[str, Any]()
    if routed is not None:
        told["active"] = int(routed.active)
    if queue is not None:
        told["queued"] = int(queue.queued)
    if seconds > 0:
        told |= dict(_rates(row, since, seconds))
    return Row(**{**asdict(row), **told})


def _rates(row: Row, since: Said, seconds: float) -> Iterator[tuple[str, float | None]]:
    routed, queue = since
    mirrored = row.traffic == figures.MIRROR
    if routed is not None:
        # a copy that is not made is answered 503 by the router itself, and counted
        refused = routed.left_out if mirrored else 0.0
        answers = max(0.0, routed.answers - refused)
        yield "requests_per_second", answers / seconds
        yield "error_share", max(0.0, routed.errors - refused) / answers if answers else None
        yield "p50_ms", routed.quantile(0.5)
        yield "p99_ms", routed.quantile(0.99)
        if mirrored:
            yield "lost_per_second", routed.left_out / seconds
    if queue is not None and not mirrored:
        yield "lost_per_second", queue.dropped / seconds


def cells(listed: Sequence[Row], *, spaced: bool) -> Iterator[tuple[Cell, ...]]:
    """The table's lines; `spaced`: with namespaces."""
    for row in listed:
        whole = f"{row.namespace}/{row.endpoint}" if spaced else row.endpoint
        style = STRONG if not row.deployment else ""
        yield (
            Cell("" if row.deployment else whole, STRONG),
            Cell(row.deployment, style),
            Cell(_share(row)),
            Cell(f"{row.ready}/{row.wanted}", GOOD if row.ready and row.ready >= row.wanted else WAITS),
            Cell(_number(row.requests_per_second), style),
            Cell(_percent(row.error_share), _alarm(row.error_share)),
            Cell(_number(row.p50_ms)),
            Cell(_number(row.p99_ms)),
            Cell(_count(row.active), "" if row.active else FAINT),
            Cell(_count(row.queued), WAITS if row.queued else FAINT),
            Cell(_number(row.lost_per_second), WAITS if row.lost_per_second else FAINT),
        )


def _share(row: Row) -> str:
    if row.percent is None:
        return ""
    asked = "" if row.asked in (None, row.percent) else f" (asked {row.asked:g}%)"
    return f"{'mirror ' if row.traffic == figures.MIRROR else ''}{row.percent:g}%{asked}"


def _count(value: int | None) -> str:
    return UNKNOWN if value is None else f"{value}"


def _number(value: float | None) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _percent(share: float | None) -> str:
    return UNKNOWN if share is None else f"{share:.2%}"


def _alarm(share: float | None) -> str:
    return BAD if share and share >= ERRORS_MANY else WAITS if share and share >= ERRORS_SOME else ""


def as_data(listed: Sequence[Row], silent: Mapping[Pod, str], seconds: float) -> dict[str, Any]:
    """For programs."""
    return {
        "seconds": round(seconds, 3),
        "rows": [{_camel(name): _short(value) for name, value in asdict(row).items()} for row in listed],
        "unreachable": [{"namespace": pod.namespace, "pod": pod.name, "why": why} for pod, why in silent.items()],
    }


def _short(value: Any) -> Any:
    return round(value, 6) if isinstance(value, float) else value


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
