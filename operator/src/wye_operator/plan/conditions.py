"""Conditions by kstatus' rules: all are computed, one reason is shown, the message names the others.

      problems ──> needs an edit? ──yes──> Ready=False Stalled=True
                       │no
                  Degraded? waits? ──yes──> Ready=False Reconciling=True; after the deadline as above
                       │no
                     Ready=True

Never both Reconciling and Stalled: kstatus takes the first of the two that is True, and would never say that it failed.
The deadline's clock is `status.waiting`: it starts again when the generation or the reason changes, or when
an instance becomes ready.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from wye_operator.api.status import Condition, Reason, Waiting

NEEDS_EDIT = (
    Reason.NAME_TAKEN,
    Reason.TRAFFIC_NOT_SET,
    Reason.UNKNOWN_DEPLOYMENT,
    Reason.MODEL_DIGEST_MISMATCH,
    Reason.MODEL_INVALID,
    Reason.SIGNATURE_MISMATCH,
    Reason.MODEL_SOURCE_UNSUPPORTED,
    Reason.ENVIRONMENT_UNSUPPORTED,
    Reason.INVALID_DEPLOYMENT_SPEC,
    Reason.GATEWAY_API_MISSING,
    Reason.CERTIFICATE_INVALID,
    Reason.ROUTER_REJECTED,
    Reason.SCRIPT_IMPORT,
    Reason.SCRIPT_FUNCTION,
    Reason.SCRIPT_INIT,
    Reason.CRASH_LOOP,
    Reason.IMAGE_PULL_LOOP,
    Reason.OUT_OF_MEMORY,
)
PARTLY = (Reason.DEGRADED, Reason.MODEL_DIGESTS_DIFFER)
WAITS = (
    Reason.ENDPOINT_NOT_FOUND,
    Reason.WAITING_FOR_DEPLOYMENT,
    Reason.KEYS_NOT_FOUND,
    Reason.TOKEN_KEYS_NOT_FOUND,
    Reason.CERTIFICATE_NOT_FOUND,
    Reason.ROUTER_STARTING,
    Reason.ROUTER_BEHIND,
    Reason.INSTANCES_STARTING,
    Reason.IMAGE_PULL,
    Reason.MODEL_FETCH,
    Reason.POD_UNSCHEDULABLE,
    Reason.OWNER_GOING,
)
ORDER = (*NEEDS_EDIT, *PARTLY, *WAITS)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is not as asked: a reason and a sentence."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True)
class Before:
    """What the last status said, as far as conditions need it."""

    conditions: Sequence[Condition]
    waiting: Waiting | None
    ready_instances: int
    provisioning: str


@dataclass(frozen=True, slots=True)
class Now:
    """The moment conditions are made for."""

    time: float
    generation: int
    ready_instances: int
    progress_deadline: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """The three kstatus conditions, the clock, Azure's word, and when the deadline strikes (seconds from now)."""

    conditions: tuple[Condition, ...]
    waiting: Waiting | None
    provisioning: str
    deadline_in: float | None


def sorted_problems(problems: Iterable[Problem]) -> list[Problem]:
    """By the order in which reasons are shown."""
    return sorted(problems, key=lambda problem: ORDER.index(problem.reason))


def clock(before: Before, now: Now, problems: Sequence[Problem]) -> Waiting | None:
    """Since when this generation waits for the first reason that is a matter of time."""
    first = next((p for p in problems if p.reason not in NEEDS_EDIT), None)
    if first is None:
        return None
    old = before.waiting
    since = old.since if old and _goes_on(old, before, now, first.reason) else now.time
    return Waiting(generation=now.generation, reason=first.reason, since=since)


def _goes_on(old: Waiting, before: Before, now: Now, reason: Reason) -> bool:
    if old.reason != reason:
        return False
    if reason is Reason.ENDPOINT_NOT_FOUND:  # also the clock of the grace: what an orphan does does not prolong it
        return True
    return old.generation == now.generation and now.ready_instances <= before.ready_instances


def remaining(waiting: Waiting | None, now: Now) -> float | None:
    """Seconds until the deadline; 0 or less: it is over. None: nothing waits."""
    return None if waiting is None else waiting.since + now.progress_deadline - now.time


def verdict(before: Before, now: Now, problems: Sequence[Problem], waiting: Waiting | None) -> Verdict:
    """The conditions of sorted `problems` at this moment."""
    left = remaining(waiting, now)
    if not problems:
        triple = _triple(before, now, (Reason.READY, "as asked"), ("True", "False", "False"))
        return Verdict(triple, None, "Succeeded", None)
    first = problems[0]
    message = "; ".join(problem.message for problem in problems)
    edit = first.reason in NEEDS_EDIT
    stalled = edit or (left is not None and left <= 0)
    states: tuple[State, State, State] = (
        "False",
        "False" if stalled else "True",
        "True" if stalled else "False",
    )
    triple = _triple(before, now, (first.reason, message), states)
    deadline = left if not edit and left is not None and left > 0 else None
    return Verdict(triple, waiting, _provisioning(before, is_stalled=stalled), deadline)


State = Literal["True", "False", "Unknown"]


def _provisioning(before: Before, *, is_stalled: bool) -> str:
    if is_stalled:
        return "Failed"
    return "Creating" if before.provisioning in ("", "Creating") else "Updating"


def _triple(
    before: Before, now: Now, why: tuple[Reason, str], states: tuple[State, State, State]
) -> tuple[Condition, ...]:
    ready, reconciling, stalled = states
    return (
        condition(before, now, "Ready", (ready, *why)),
        condition(before, now, "Reconciling", (reconciling, *why)),
        condition(before, now, "Stalled", (stalled, *why)),
    )


Kind = Literal["Ready", "Reconciling", "Stalled", "Serving"]


def condition(before: Before, now: Now, kind: Kind, what: tuple[State, Reason, str]) -> Condition:
    """One condition merged with the old one: its transition time moves only when its status flips."""
    status, reason, message = what
    old = next((c for c in before.conditions if c.type == kind), None)
    moved = datetime.fromtimestamp(now.time, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return Condition(
        type=kind,
        status=status,
        reason=reason,
        message=message,
        observed_generation=now.generation,
        last_transition_time=old.last_transition_time if old and old.status == status else moved,
    )
