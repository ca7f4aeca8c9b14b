"""The tree of `wye status`: endpoint, routers, deployments, pods, each with why it is not as asked. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from wye_operator.cli.drawing import Cell, Node
from wye_operator.cli.seen import Deployment, Endpoint, Missing, Pod, Share, Verdict

GOOD, BAD, WAITS, FAINT, STRONG = "green", "red", "yellow", "dim", "bold"
SHORT = 12  # hex digits of a digest


def tree(endpoints: Sequence[Endpoint], *, spaced: bool) -> tuple[Node, ...]:
    """One tree for each Endpoint; `spaced`: with its namespace."""
    return tuple(_endpoint(endpoint, spaced=spaced) for endpoint in endpoints)


def _endpoint(endpoint: Endpoint, *, spaced: bool) -> Node:
    name = Cell(f"{endpoint.namespace}/{endpoint.name}" if spaced else endpoint.name, STRONG)
    deployments = tuple(_deployment(each) for each in endpoint.deployments)
    if not endpoint.exists:
        note = Cell("Deployments name it, but there is no Endpoint of this name: create it, or mend spec.endpointName")
        return Node((name, Cell("EndpointNotFound", BAD)), (note,), deployments)
    missing = tuple(_missing(each) for each in endpoint.missing)
    cells = (name, _verdict(endpoint.verdict), _serving(endpoint.serving), Cell(endpoint.url))
    return Node(cells, tuple(_notes(endpoint.verdict)), (_routers(endpoint), *deployments, *missing))


def _serving(reason: str) -> Cell:
    if reason == "Serving":
        return Cell("serving", GOOD)
    return Cell(f"not serving: {reason}" if reason else "not serving", BAD)


def _routers(endpoint: Endpoint) -> Node:
    ready = sum(pod.ready for pod in endpoint.routers)
    wanted = max(endpoint.router_replicas, len(endpoint.routers))
    count = Cell(f"{ready}/{wanted}", GOOD if ready and ready == wanted else WAITS)
    lost = endpoint.traces_dropped
    notes = (Cell(f"traces: {lost} messages were not taken by the collector", WAITS),) if lost else ()
    return Node((Cell("router"), Cell(""), count), notes, tuple(_pod(pod, "") for pod in endpoint.routers))


def _deployment(deployment: Deployment) -> Node:
    named = "" if deployment.resource == deployment.name else f" ({deployment.resource})"
    right = deployment.ready_replicas == deployment.replicas
    cells = (
        Cell(f"{deployment.name}{named}", STRONG),
        _verdict(deployment.verdict),
        Cell(f"{deployment.ready_replicas}/{deployment.replicas}", GOOD if right else WAITS),
        Cell(_in_effect(deployment), STRONG if deployment.traffic.effect else ""),
        Cell(deployment.model),
        Cell(f"sha256:{deployment.sha256[:SHORT]}" if deployment.sha256 else "", FAINT),
    )
    said = deployment.verdict.message if not deployment.verdict.ready else ""
    notes = (*_notes(deployment.verdict), *_failure(deployment))
    return Node(cells, notes, tuple(_pod(pod, said) for pod in deployment.pods))


def _missing(missing: Missing) -> Node:
    return Node((Cell(missing.name, STRONG), Cell("no such Deployment", BAD), Cell(""), Cell(_in_effect(missing))))


def _in_effect(deployment: Deployment | Missing) -> str:
    mirrored = deployment.mirror.effect or deployment.mirror.asked
    live = deployment.traffic.effect or deployment.traffic.asked
    parts = [_percent(deployment.traffic)] if live or not mirrored else []
    return " ".join([*parts, f"mirror {_percent(deployment.mirror)}"] if mirrored else parts)


def _percent(share: Share) -> str:
    asked = "" if share.asked in (None, share.effect) else f" (asked {share.asked:g}%)"
    return f"{share.effect:g}%{asked}"


def _failure(deployment: Deployment) -> Iterator[Cell]:
    """The last end of a pod: in full while it is in the way, in one line while that pod is still there, else past."""
    failure, verdict = deployment.failure, deployment.verdict
    if (
        failure is None
        or not failure.exit_code
        or (verdict.ready and failure.pod not in [pod.name for pod in deployment.pods])
    ):
        return
    reason = f" ({failure.reason})" if failure.reason else ""
    restarts = f", {_restarts(failure.restarts)}" if failure.restarts else ""
    yield Cell(
        f"last failure: {failure.pod}: exit code {failure.exit_code}{reason}{restarts}", FAINT if verdict.ready else ""
    )
    if not verdict.ready and failure.log and failure.log not in verdict.message:
        yield from (Cell(f"  {line}", FAINT) for line in failure.log.splitlines())


def _pod(pod: Pod, said: str) -> Node:
    """`said`: what stands above it already and need not be said again."""
    style = GOOD if pod.ready else FAINT if pod.state == "Terminating" else WAITS
    why = () if not pod.why or _within(pod.why, said) else (Cell(pod.why, WAITS),)
    restarts = Cell(_restarts(pod.restarts), WAITS if pod.restarts else FAINT)
    ready = Cell("ready" if pod.ready else "not ready", style)
    cells = (Cell(pod.name), Cell(pod.state, style), ready, restarts, Cell(pod.age, FAINT), Cell(pod.node, FAINT))
    return Node(cells, why)


def _restarts(number: int) -> str:
    return f"{number} restart{'' if number == 1 else 's'}"


def _within(why: str, said: str) -> bool:
    """Whether a message says it already, also where it has a word of its own before it."""
    return why in said or (": " in why and why.partition(": ")[2] in said)


def _verdict(verdict: Verdict) -> Cell:
    return Cell(verdict.reason, GOOD if verdict.ready else BAD)


def _notes(verdict: Verdict) -> Iterator[Cell]:
    if not verdict.ready and verdict.message:
        yield Cell(verdict.message)
