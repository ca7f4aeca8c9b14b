"""kstatus' rules: the judge itself by a table, and every version of every object over a day in a cluster in memory."""

from __future__ import annotations

import pytest

from kstatus import broken, computed
from wye_operator.cluster.kinds import DEPLOYMENTS, ENDPOINTS, PODS, SECRETS

from .place import Place, deployment, endpoint

T1, T2 = "2026-11-01T00:00:01Z", "2026-11-01T00:00:02Z"


def version(states="TFF", *, generation=2, observed=2, at=T1, spec=None, status=None, **more):
    """An Endpoint; `states` of Ready, Reconciling and Stalled by their first letters."""
    words = {"T": "True", "F": "False"}
    conditions = [
        {
            "type": kind,
            "status": words[state],
            "lastTransitionTime": T1 if kind == "Stalled" else at,
            "observedGeneration": observed,
        }
        for kind, state in zip(("Ready", "Reconciling", "Stalled"), states, strict=False)
    ]
    metadata = {"name": "fraud", "uid": "u", "generation": generation, "resourceVersion": "7", **more}
    told = {"observedGeneration": observed, **({"conditions": conditions} if states else {}), **(status or {})}
    return {"kind": "Endpoint", "metadata": metadata, "spec": spec or {}, "status": told}


BLUE, GREEN = {"traffic": {"blue": 100}}, {"traffic": {"green": 100}}
UNSEEN = {"kind": "Endpoint", "metadata": version()["metadata"], "spec": {}}

# what it is, the version, kstatus' verdict
VERDICTS = [
    ("as asked", version(), "Current"),
    ("on its way", version("FTF"), "InProgress"),
    ("needs a person", version("FFT"), "Failed"),
    ("both: the first one counts", version("FTT"), "InProgress"),
    ("a new generation", version(generation=3), "InProgress"),
    ("new, with the definition's default", version("", observed=-1), "InProgress"),
    ("new, without any status", UNSEEN, "Current"),
    ("going", version(deletionTimestamp=T1), "Terminating"),
    ("not ready, and no other condition", version("F"), "InProgress"),
]


@pytest.mark.parametrize(("seen", "verdict"), [row[1:] for row in VERDICTS], ids=[row[0] for row in VERDICTS])
def test_what_kstatus_makes_of_an_object_that_is(seen, verdict) -> None:
    assert computed(seen) == verdict


# what it is, the versions, part of what is broken ("" where nothing is)
RULES = [
    ("new, on its way, ready", [version("", observed=-1), version("FTF"), version(at=T2)], ""),
    ("edited", [version(), version(generation=3), version("FTF", generation=3, observed=3, at=T2)], ""),
    ("without a status", [UNSEEN], "takes it for Current"),
    ("ahead of its spec", [version(observed=3)], "ahead of the generation"),
    ("both reconciling and stalled", [version("FTT")], "are False, True, True"),
    ("neither", [version("FFF")], "are False, False, False"),
    ("ready and reconciling", [version("TTF")], "are True, True, False"),
    ("one condition is missing", [version("TF")], "are True, False, absent"),
    ("stalled", [version("FFT")], "nothing needs a person"),
    ("seen without conditions", [version("")], "has no conditions"),
    ("back to an older generation", [version(), version("FTF", observed=1, at=T2)], "goes back from 2 to 1"),
    ("a time that moves alone", [version(), version(at=T2)], "moves, and its status does not"),
    ("a time that goes back", [version(at=T2), version("FTF", at=T1)], "goes back"),
    ("ready with other weights", [version(spec=GREEN, status=BLUE)], "asked is {'green': 100.0}"),
    ("not ready with other weights", [version("FTF", spec=GREEN, status=BLUE)], ""),
    ("ready with a share of nothing", [version(spec={"traffic": {"blue": 100, "red": 0}}, status=BLUE)], ""),
]


@pytest.mark.parametrize(("seen", "wrong"), [row[1:] for row in RULES], ids=[row[0] for row in RULES])
def test_the_judge_of_versions_that_are(seen, wrong) -> None:
    found = broken(seen)
    assert bool(found) == bool(wrong)
    assert all(wrong in each for each in found)


def test_a_stall_may_be_wanted() -> None:
    assert broken([version("FFT")], may_stall=True) == []


def test_ready_with_too_few_instances_is_broken() -> None:
    few = version(spec={"instanceCount": 3}, status={"readyReplicas": 1}) | {"kind": "Deployment"}
    assert "Current with 1 of 3" in broken([few])[0]


class Watch:
    """Every version of users' objects; the default of the definition stands in for the API server."""

    def __init__(self, place) -> None:
        self.seen: dict[tuple[str, str], list[dict]] = {}
        self.place, self._next = place, place.api._tell
        place.api._tell = self._tell

    def _tell(self, kind, event, body) -> None:
        if kind in (ENDPOINTS, DEPLOYMENTS) and event != "DELETED":
            versions = self.seen.setdefault((kind.name, body["metadata"]["name"]), [])
            versions.append({**body, "status": body.get("status") or {"observedGeneration": -1}})
        self._next(kind, event, body)

    def broken(self, **options) -> list[str]:
        return [rule for versions in self.seen.values() for rule in broken(versions, **options)]


async def test_the_rules_hold_through_a_day_of_events() -> None:
    place = Place()
    watch = Watch(place)
    place.api.user(deployment())  # ordering: the Deployment before its Endpoint
    await place.settle(seconds=60)
    place.api.user(endpoint(traffic={"blue": 100}))
    await place.settle()
    for weights in ({"blue": 50, "green": 50}, {"green": 100}, {"blue": 70, "green": 30}):
        place.api.user(endpoint(traffic=weights))
        await place.settle(seconds=2)
        place.api.user(deployment("fraud-green", instanceCount=len(weights)))
        await place.settle()
    place.api.user(deployment(instanceCount=3))
    await place.settle(seconds=1)
    place.api.remove(PODS, next(name for name in place.api.names(PODS) if name.startswith("fraud-blue")))
    place.api.remove(SECRETS, "fraud-keys")
    place.restart()
    await place.settle()
    assert place.ready(ENDPOINTS, "fraud") == ("True", "Ready")
    assert sum(map(len, watch.seen.values())) > 20
    assert watch.broken() == []
