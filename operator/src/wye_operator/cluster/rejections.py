"""Why a router refuses an update: its log says it, once, and nothing else does.

asked ──> 4, 8, 16 … s without an answer: its log since then is read ──> the reason is kept until it is asked for
something else, or has taken it
"""

from __future__ import annotations

from wye_operator.cluster.base import Cluster, Memory, Rejection
from wye_operator.cluster.errors import ApiError
from wye_operator.cluster.store import Key
from wye_operator.plan.masking import masked
from wye_operator.render.envoy import refused

# Seconds after it was asked. A router that starts may refuse routes before it has read their clusters, and takes both
# as soon as it is asked again: nobody has to hear of that.
FIRST_LOOK = 4.0
LOOKS = 6  # the last one after two minutes: what was not said by then is not said any more
BEFORE = 1  # seconds that are read besides, since they are whole ones; what was said of an earlier update is no reason


async def rejection_of(cluster: Cluster, key: Key, pod: str, memory: Memory, unanswered: float) -> str:
    """The router's own reason, "" while there is none; `unanswered`: for how long the record knows that it lacks it."""
    bump = memory.bumps.get(pod)
    if bump is None:  # it has everything, or was never asked
        memory.rejections.pop(pod, None)
        return ""
    known = memory.rejections.get(pod)
    if known is None or known.target != bump.target:
        known = memory.rejections[pod] = Rejection(bump.target)
    waited = cluster.clock() - bump.since
    if not known.reason and known.looked < LOOKS and waited >= FIRST_LOOK * 2**known.looked:
        known.looked += 1
        known.reason = await _said(cluster, key, pod, max(waited, unanswered) + BEFORE)
    return known.reason


async def _said(cluster: Cluster, key: Key, pod: str, since: float) -> str:
    try:
        log = await cluster.api.log(key.namespace, pod, since_seconds=int(since))
    except ApiError:
        return ""
    reasons = [reason for line in log.splitlines() if (reason := refused(line))]
    return masked(reasons[-1]) if reasons else ""
