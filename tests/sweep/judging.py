"""What a sweep must show: whoever has no right credential reaches nothing behind the router, and all get an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from sweep.odd import INNER
from sweep.probes import Probe
from sweep.sending import SILENCE, Answer, Outcome

HEALTHY = "Healthy"
PAGE = "https://app.example"  # whose preflights the Endpoint answers


def breaches(probes: Iterable[Probe], outcomes: Mapping[str, Outcome], seen: set[str]) -> list[str]:
    """What went wrong, a line each; `seen` are the ids of requests that models say they got."""
    found = [f"a model got what was hidden: {name}" for name in sorted(seen) if name.startswith(INNER)]
    for probe in probes:
        answers = outcomes[probe.name]
        if answers == SILENCE:
            found.append(f"no answer: {probe.name}")
        if probe.right is False and probe.id in seen:
            found.append(f"a model got it: {probe.name}")
        if probe.right is False:
            found += [f"let through, {answer}: {probe.name}" for answer in answers if not _is_harmless(answer)]
    return found


def served(outcomes: Mapping[str, Outcome]) -> int:
    """How many answers came from a model."""
    return sum(bool(answer.deployment) for answers in outcomes.values() for answer in answers)


def differences(one: Mapping[str, Outcome], other: Mapping[str, Outcome]) -> list[str]:
    """Whoever was answered in two ways."""
    return [f"{name}: {one[name]} and then {other[name]}" for name in one if one[name] != other[name]]


def summary(outcomes: Mapping[str, Outcome]) -> str:
    """How many of each answer."""
    counted = Counter(_shown(answers) for answers in outcomes.values())
    return ", ".join(f"{count} x {what}" for what, count in counted.most_common())


def _is_harmless(answer: Answer) -> bool:
    """Whether the router alone said it, and gave nothing away."""
    if answer.deployment:
        return False
    if not 200 <= answer.status < 300:
        return True
    is_preflight = answer.allowed == PAGE and not answer.said
    return answer.said == HEALTHY or is_preflight or answer.grpc not in ("", "0")


def _shown(answers: Sequence[Answer]) -> str:
    if not answers:
        return "closed"
    return " ".join(str(a.status) if a.status else a.said for a in answers)
