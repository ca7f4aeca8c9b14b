"""What the twin tells the person who started it: one line when something they care about changes, and no more."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from wye_operator.api.contract import Contract
from wye_operator.api.status import Condition, DeploymentStatus, EndpointStatus
from wye_operator.local import sample
from wye_operator.local.instances import words_of
from wye_operator.local.target import EndpointTarget
from wye_operator.plan.wanted import Plan
from wye_operator.plan.world import Signature

MOMENT = 1.0  # seconds that a wait may take without a word
IN_LINE = ("TrafficInEffect", "FailedOver")  # events that the Endpoint's own line says already


class Voice(Protocol):
    """Where words go: a terminal, a log, nowhere."""

    def say(self, text: str) -> None:
        """Something changed."""

    def warn(self, text: str) -> None:
        """Something is wrong."""

    def progress(self, text: str) -> None:
        """What is being waited for now; "" when nothing is."""


class Silent:
    """Says nothing: for programs that ask `Twin.status` themselves."""

    def say(self, text: str) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """Nothing."""

    def progress(self, text: str) -> None:
        """Nothing."""


class Reporter:
    """Remembers what was told, so that nothing is told twice in a row."""

    def __init__(self, voice: Voice) -> None:
        self._voice = voice
        self._told: dict[str, str] = {}
        self._shown: set[str] = set()
        self._deployments: dict[str, set[str]] = {}

    def tell(self, target: EndpointTarget, wanted: Plan, now: float) -> None:
        """Everything new about one Endpoint; what has been waited for only a moment is not told."""
        self._tell_failures(target)
        self._once(f"keys {target.label}", target.keys_problem, fine=False)
        self._tell_gone(target.label, set(wanted.deployment_statuses))
        for name, deployment in wanted.deployment_statuses.items():
            if not _fleeting(deployment, now):
                fine = is_ready(deployment.conditions)
                self._once(f"Deployment {name}", deployment_line(name, deployment), fine=fine)
        status = wanted.endpoint_status
        if status is not None and not _fleeting(status, now):
            fine = is_ready(status.conditions)
            self._once(f"Endpoint {target.label}", endpoint_line(target.label, status), fine=fine)
        for event in wanted.events:
            if event.reason not in IN_LINE:
                text = f"{event.name}: {event.message}"
                self._once(f"event {event.kind} {event.name} {event.reason}", text, fine=event.type == "Normal")
        if status is not None and _answers(status) and target.reached and target.label not in self._shown:
            self._shown.add(target.label)
            self._voice.say(_how_to_call(target, wanted))

    def _tell_gone(self, endpoint: str, names: set[str]) -> None:
        for name in sorted(self._deployments.get(endpoint, set()) - names):
            if self._told.pop(f"Deployment {name}", None):
                self._voice.say(f"{name}  removed")
        self._deployments[endpoint] = names

    def gone(self, target: EndpointTarget) -> None:
        """An Endpoint that is no longer there; another one of its name is told anew."""
        self._shown.discard(target.label)
        if self._told.pop(f"Endpoint {target.label}", None):
            self._voice.say(f"{target.label}  removed")

    def mistakes(self, lines: Iterable[str]) -> None:
        """What is wrong with the folder, while what runs goes on; or that it is right again."""
        text, before = "\n".join(lines), self._told.get("mistakes", "")
        if text and text != before:
            self._voice.warn(f"{text}\nwhat runs goes on as it was")
        if before and not text:
            self._voice.say("the manifests are right again, and in force")
        self._told["mistakes"] = text

    def notes(self, lines: Iterable[str]) -> None:
        """What is accepted and has no effect here."""
        self._once("notes", "\n".join(lines), fine=True)

    def trouble(self, where: str, text: str) -> None:
        """A pass that could not be finished, "" when it could; the next one tries again."""
        self._once(f"trouble {where}", text, fine=False)

    def _tell_failures(self, target: EndpointTarget) -> None:
        for group in target.groups.values():
            for failure in group.news:
                self._voice.warn(f"{words_of(failure)}; it is started again")
            group.news.clear()
        for text in target.router.news if target.router else ():
            self._voice.warn(f"{text}; it is started again")
        if target.router:
            target.router.news.clear()

    def _once(self, key: str, text: str, *, fine: bool) -> None:
        if self._told.get(key, "") == text:
            return
        self._told[key] = text
        if text:
            (self._voice.say if fine else self._voice.warn)(text)


def waiting_for(targets: Iterable[EndpointTarget]) -> str:
    """What is not ready now, "" when everything is."""
    names = [name for t in targets for name, status in t.statuses.items() if not is_ready(status.conditions)]
    names += [t.label for t in targets if t.status and not is_ready(t.status.conditions)]
    return f"waiting for {', '.join(names)}" if names else ""


def condition(conditions: Iterable[Condition], kind: str) -> Condition | None:
    """The condition of that type."""
    return next((c for c in conditions if c.type == kind), None)


def is_ready(conditions: Iterable[Condition]) -> bool:
    """Whether Ready holds."""
    ready = condition(conditions, "Ready")
    return ready is not None and ready.status == "True"


def _answers(status: EndpointStatus) -> bool:
    serving = condition(status.conditions, "Serving")
    return is_ready(status.conditions) and serving is not None and serving.status == "True"


def _fleeting(status: EndpointStatus | DeploymentStatus, now: float) -> bool:
    return status.waiting is not None and now - status.waiting.since < MOMENT


def endpoint_line(name: str, status: EndpointStatus) -> str:
    """`fraud  Ready  blue=90 green=10  mirror violet=50  http://127.0.0.1:8080/score`."""
    mirror = f"mirror {status.mirror_text}" if status.mirror_text else ""
    return _line(name, status.conditions, [status.traffic_text, mirror, status.scoring_uri or ""])


def deployment_line(name: str, status: DeploymentStatus) -> str:
    """`fraud-blue  Ready  2/2`."""
    return _line(name, status.conditions, [f"{status.ready_replicas}/{status.replicas}"])


def _line(name: str, conditions: Iterable[Condition], parts: list[str]) -> str:
    ready = condition(conditions, "Ready")
    if ready is None:
        return name
    message = "" if ready.status == "True" else ready.message
    return "  ".join(part for part in (name, str(ready.reason), *parts, message) if part)


def _how_to_call(target: EndpointTarget, wanted: Plan) -> str:
    bearer = sample.bearer(wanted.router.auth if wanted.router else None)
    body = sample.example(_contract(wanted), _signature(target))
    line = sample.curl(f"{target.url}/score", bearer, body)
    return f"\ncall it:\n  {line}\n"


def _contract(wanted: Plan) -> Contract | None:
    shares: Mapping[str, int] = {s.cluster: s.weight for s in wanted.router.routes.shares} if wanted.router else {}
    clusters = (
        {c.deployment.partition("/")[2]: shares.get(c.name, 0) for c in wanted.router.clusters} if wanted.router else {}
    )
    ordered = sorted(wanted.workloads, key=lambda w: -clusters.get(w.deployment, 0))
    contract = ordered[0].settings.get("contract") if ordered else None
    return Contract.model_validate(contract) if contract else None


def _signature(target: EndpointTarget) -> Signature | None:
    instances = [i for _, group in sorted(target.groups.items()) for i in group.instances]
    return next((i.signature for i in instances if i.signature), None)
