"""Other servers in a cluster: the real Triton, out of NVIDIA's wheel in an image of ours, beside our runtime."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from clients.environment import HERE, environment
from cluster.harness.places import CHECKOUT
from cluster.harness.say import output, step
from cluster.kube import PATIENCE, Cluster, Namespace
from cluster.serving import Served, waited

Figure = Callable[[str], None]
EXAMPLE = CHECKOUT / "examples/triton"
IMAGE = "localhost/wye-example-triton:1"
BODY = (EXAMPLE / "request.json").read_text()
COUNT = 60


@pytest.fixture(scope="module")
def triton(cluster: Cluster, images: str, request: pytest.FixtureRequest) -> str:
    """The example's image, in the node; and its model."""
    subprocess.run([sys.executable, str(EXAMPLE / "make_model.py")], check=True)
    with request.config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
        with step("building an image with Triton", "20 s, a minute more the first time"):
            home = environment("triton").parents[1]
            [packages] = home.glob("lib/python3.11/site-packages")
            output([str(EXAMPLE / "image"), IMAGE], env=os.environ | {"PACKAGES": str(packages)})
        cluster.load(IMAGE)
    return IMAGE


@pytest.fixture
def thermometer(operator: str, triton: str, namespace: Namespace) -> Served:
    """The example as it stands, applied by kustomize."""
    namespace.kubectl("apply", "-k", str(EXAMPLE))
    served = Served(namespace, "thermometer")
    served.ready()
    return served


def patch(served: Served, what: str, **spec: object) -> None:
    served.namespace.kubectl("patch", what, "--type=merge", "-p", json.dumps({"spec": spec}))


def told(served: Served, way: str, python: Path) -> dict:
    host = served.url.split("/")[2] + ":80"
    words = [
        str(python),
        "-W",
        "ignore",
        str(HERE / "calling_triton.py"),
        way,
        host,
        served.key,
        str(COUNT),
        "0",
        "100",
    ]
    return dict(json.loads(served.namespace.cluster.run(*words).splitlines()[-1]))


def by_deployment(served: Served) -> dict[str, int]:
    """Who answered with 200 so far, by the routers' log."""
    found: dict[str, int] = {}
    for router in served.pods("router"):
        for line in served.namespace.kubectl("logs", router).splitlines():
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("status") == 200 and entry.get("deployment"):
                found[entry["deployment"]] = found.get(entry["deployment"], 0) + 1
    return found


def test_triton_and_our_runtime_share_one_url(thermometer: Served, figure: Figure) -> None:
    served, python = thermometer, environment()
    assert served.traffic() == {"ours": 50, "triton": 50}
    served.answered(served.key)  # the node knows the Service
    rest = told(served, "http", python)
    assert rest["answers"] == [[32.0, 212.0]]
    waited(lambda: sum(by_deployment(served).values()) >= COUNT)
    counts = by_deployment(served)
    assert min(counts.get(name, 0) for name in ("ours", "triton")) > COUNT // 6, counts
    figure(f"tritonclient by HTTP: {counts} of {COUNT}")
    model = served.namespace.json("get", "mld", "thermometer-triton")["status"].get("model")
    assert model is None

    patch(served, "mle/thermometer", traffic={"ours": 50, "triton": None, "calls": 50})
    waited(lambda: served.traffic() == {"ours": 50, "calls": 50})
    calls = told(served, "grpc", python)
    assert calls["answers"] == [[32.0, 212.0]]
    assert min(calls["served"].get(name, 0) for name in ("ours", "calls")) > COUNT // 6, calls
    figure(f"grpcio with tritonclient's messages: {calls['served']} of {COUNT}")


def test_an_edit_of_its_routes_and_a_roll_lose_nothing(thermometer: Served, figure: Figure) -> None:
    served = thermometer
    patch(served, "mle/thermometer", traffic={"ours": None, "triton": 100})
    waited(lambda: served.traffic() == {"triton": 100})
    with served.load(body=BODY) as load:
        routes = {name: {"port": 8100} for name in ("livenessRoute", "readinessRoute", "scoringRoute")}
        routes["readinessRoute"]["path"] = "/v2/models/thermometer/ready"
        patch(served, "mld/thermometer-triton", environment={"inferenceConfig": routes})
        served.namespace.kubectl("rollout", "status", "deployment/thermometer-triton-model", f"--timeout={PATIENCE}s")
        served.ready()
        waited(lambda: len(served.pods("model")) == 3)
    figure(f"another port and readiness of Triton's under load: lost {load.lost} of {load.answers.total()}")
    served.lost_nothing(load)
    assert set(load.served) == {"triton"}
