"""gRPC in a cluster, by clients as they come: every call and error, and nothing lost while all is edited and rolled."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from clients.environment import HERE, environment
from clients.grpc_answers import ANSWERS, EARLIER, ERRORS, NEEDED
from cluster.calls import Calls
from cluster.kube import PATIENCE
from cluster.load import Request
from cluster.serving import Served, deployment, endpoint, waited

Figure = Callable[[str], None]
EDITS = 20
LEAVING = 12  # seconds: the preStop of a model's pod, and its end


def target(served: Served) -> str:
    return f"{served.url.split('/')[2]}:80"


def calls(served: Served) -> Calls:
    served.answered(served.key)  # the node knows the Service
    request = Request(target(served), "", {"authorization": f"Bearer {served.key}"})
    return Calls(served.namespace.cluster.backend.run, request)


def told(what: str, load: Calls) -> str:
    return f"{what}: lost {load.lost} of {load.answers.total()} calls by grpcio: {dict(load.answers)}"


def test_edits_and_rolling_restarts_lose_no_call(served: Served, figure: Figure):
    both = [deployment(name, instanceCount=2) for name in ("blue", "green")]
    served.apply(endpoint(traffic={"blue": 50, "green": 50}, router={"replicas": 2}), *both)
    with calls(served) as edited:
        for number in range(EDITS):
            weights = {"blue": 20, "green": 80} if number % 2 else {"blue": 70, "green": 30}
            served.namespace.apply(endpoint(traffic=weights, router={"replicas": 2}))
            waited(lambda weights=weights: served.traffic() == weights)
    figure(told(f"{EDITS} weight edits", edited))
    with calls(served) as rolled:
        for name in ("fraud-blue-model", "fraud-router"):
            served.namespace.kubectl("rollout", "restart", f"deployment/{name}")
            served.namespace.kubectl("rollout", "status", f"deployment/{name}", f"--timeout={PATIENCE}s")
        time.sleep(LEAVING)
    figure(told("rolling restart of 2 models and of 2 routers", rolled))
    served.lost_nothing(edited)
    served.lost_nothing(rolled)
    assert set(edited.served) == {"blue", "green"}


@pytest.fixture(scope="module")
def python() -> Path:
    return environment()


def test_tritonclient_and_grpcio_make_every_call(served: Served, python: Path, figure: Figure):
    served.apply(endpoint(traffic={"blue": 100}), deployment("blue"))

    def answers(key: str) -> dict[str, object]:
        argv = [str(python), "-W", "ignore", str(HERE / "calling_grpc.py"), target(served), "api-key", key]
        return dict(json.loads(served.namespace.cluster.run(*argv).splitlines()[-1]))

    served.answered(served.key)  # the node knows the Service
    right, wrong = answers(served.key), answers("wrong")
    assert right == ANSWERS | ERRORS
    assert {said for way, said in wrong.items() if way not in EARLIER} == {NEEDED["Key"]}
    figure(f"{len(ANSWERS)} calls and {len(ERRORS)} errors by tritonclient and grpcio are as they should be")
