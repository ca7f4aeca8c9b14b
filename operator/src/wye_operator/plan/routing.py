"""Which deployment gets which share: what is taken into effect, fail-over, mirrors ("Traffic, exactly" in API.md).

Shares are in hundredths of a percent. A change of traffic is taken whole or not at all; a mirror begins by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from wye_operator.api.endpoint import EndpointSpec
from wye_operator.plan.acknowledged import Known
from wye_operator.plan.members import Members, Standing
from wye_operator.plan.record import UNAVAILABLE, Record
from wye_operator.plan.shares import WHOLE, Shares, hundredths, scaled


@dataclass(frozen=True, slots=True)
class Routing:
    """The decision of one pass.

    `taken` is recorded (None: nothing was taken yet); `weights` is what routers get, fail-over included;
    `waiting` and `mismatched` say, by name, why the asked traffic or mirror is not in effect; `unset` that somebody
    has to write traffic; `lost` are names in effect that cannot answer.
    """

    plain: Literal["Split", "NoLiveTraffic", "NoReadyPod"]
    taken: Shares | None
    weights: Shares
    mirrors: Shares
    waiting: Mapping[str, str]
    mismatched: Mapping[str, str]
    unset: bool
    lost: tuple[str, ...]


def routing_for(
    spec: EndpointSpec,
    record: Record,
    members: Members,
    standings: Mapping[str, Standing],
    known: Known,
) -> Routing:
    """What is in effect after this pass."""
    asked = hundredths(spec.traffic) if spec.traffic is not None else _unwritten(spec, record, members)
    waiting, mismatched = _hindrances(asked or {}, record.traffic or {}, standings)
    taken = record.traffic if asked is None or waiting or mismatched else asked
    carried = taken if taken is not None else _first_shares(spec, standings)
    alive = {n for n in carried if n in members.by_name and members.by_name[n].ready and not known.obstacle(n)}
    weights = _weights(spec, carried, alive, frozenset(members.by_name) & known.clusters)
    mirrors = _mirrors(spec, carried, standings, known)
    _explain_mirrors(spec, carried, mirrors, standings, (waiting, mismatched))
    lost = tuple(sorted(set(carried) - alive)) if taken else ()
    return Routing(
        _plain(spec, taken, weights, members),
        taken,
        weights,
        mirrors,
        waiting,
        mismatched,
        _is_unset(spec, record, members),
        lost,
    )


def _plain(
    spec: EndpointSpec, taken: Shares | None, weights: Shares, members: Members
) -> Literal["Split", "NoLiveTraffic", "NoReadyPod"]:
    if weights:
        return "Split"
    if taken == {} or (taken is None and not spec.traffic and len(_candidates(spec, members)) != 1):
        return "NoLiveTraffic"
    return "NoReadyPod"


def _unwritten(spec: EndpointSpec, record: Record, members: Members) -> dict[str, int] | None:
    """Without `traffic`: who is alone gets all and keeps it; else (None) what is in effect stays."""
    candidates = _candidates(spec, members)
    if len(candidates) == 1 and (record.traffic is None or _gone(record, members)):
        return {candidates[0]: WHOLE}
    return None


def _is_unset(spec: EndpointSpec, record: Record, members: Members) -> bool:
    """Whether nobody can have a share until a person writes `traffic`."""
    nobody = record.traffic is None or 0 < len(record.traffic) == len(_gone(record, members))
    return spec.traffic is None and nobody and len(_candidates(spec, members)) > 1


def _gone(record: Record, members: Members) -> list[str]:
    return [name for name in record.traffic or {} if name not in members.by_name]


def _candidates(spec: EndpointSpec, members: Members) -> list[str]:
    return [name for name in members.by_name if name not in (spec.mirror_traffic or {})]


def _hindrances(
    asked: Shares, in_effect: Shares, standings: Mapping[str, Standing]
) -> tuple[dict[str, str], dict[str, str]]:
    """Why the asked traffic cannot be taken: of every name that would gain share."""
    gaining = {name for name, share in asked.items() if share > in_effect.get(name, 0)}
    waiting = {n: standings[n].obstacle for n in sorted(gaining) if standings[n].obstacle}
    mismatched = {n: standings[n].mismatch for n in sorted(gaining) if standings[n].mismatch}
    return waiting, mismatched


def _first_shares(spec: EndpointSpec, standings: Mapping[str, Standing]) -> dict[str, int]:
    """With nothing in effect yet, those who are ready share in proportion."""
    asked = hundredths(spec.traffic)
    return scaled({name: share for name, share in asked.items() if standings[name].eligible})


def _weights(spec: EndpointSpec, carried: Shares, alive: set[str], routable: frozenset[str]) -> dict[str, int]:
    """Fail-over, worked out anew in each pass.

    When nobody is alive the shares stay where they are: the router answers 503 by itself, and 200 again the moment
    an instance does, without waiting for us.
    """
    if carried.keys() <= alive:
        return dict(sorted(carried.items()))
    if spec.failover == "Redistribute":
        able = {name: share for name, share in carried.items() if name in alive}
        standing = {name: share for name, share in carried.items() if name in routable}
        return scaled(able or standing)
    kept = {name: share for name, share in carried.items() if name in routable}
    rest = sum(carried.values()) - sum(kept.values())
    return dict(sorted(kept.items())) | ({UNAVAILABLE: rest} if rest else {})


def _mirrors(spec: EndpointSpec, carried: Shares, standings: Mapping[str, Standing], known: Known) -> dict[str, int]:
    """Each mirror by itself: its target is ready, agrees, is known to the routers and has no live share."""
    return {
        name: share
        for name, share in hundredths(spec.mirror_traffic).items()
        if standings[name].eligible and known.has_mirror(name) and name not in carried
    }


def _explain_mirrors(
    spec: EndpointSpec,
    carried: Shares,
    mirrors: Shares,
    standings: Mapping[str, Standing],
    into: tuple[dict[str, str], dict[str, str]],
) -> None:
    waiting, mismatched = into
    for name in hundredths(spec.mirror_traffic):
        if name in mirrors:
            continue
        if standings[name].mismatch:
            mismatched[name] = standings[name].mismatch
        elif name in carried:
            waiting[name] = f"the mirror to {name} waits while {name} has a live share"
        else:
            waiting[name] = standings[name].obstacle or f"the routers are still taking the mirror to {name}"
