"""An update that routers refuse, although the operator found nothing wrong with it: told in Envoy's words, harmless.

Routers that start anew meanwhile have what the others go on with.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from cluster.kube import PATIENCE
from cluster.serving import Served, deployment, endpoint, waited

Figure = Callable[[str], None]
OLD, NEW = {"blue": 100}, {"blue": 63, "green": 37}
# Python reads this when the operator starts: whatever gives green 37 % leads to a cluster that nobody has.
MUTANT = """
import wye_operator.render.envoy as envoy

real = envoy.route_files


def route_files(wanted, place):
    files = real(wanted, place)
    return {**files, "rds.json": files["rds.json"].replace(b'"green","weight":3700', b'"ghost","weight":3700')}


envoy.route_files = route_files
"""
READ = {"name": "PYTHONPATH", "value": "/mutant"}
MOUNT, VOLUME = {"name": "mutant", "mountPath": "/mutant"}, {"name": "mutant", "configMap": {"name": "mutant"}}


def test_an_update_that_routers_refuse(served: Served, operator: str, figure: Figure):
    routers = {"replicas": 2}
    served.apply(endpoint(traffic=OLD, router=routers), deployment("blue"), deployment("green"))
    version = status(served)["router"]["version"]
    with mutant(served, operator), served.load() as load:
        served.namespace.apply(endpoint(traffic=NEW, router=routers))
        took = waited(lambda: ready(served)["reason"] == "RouterRejected")
        assert "unknown weighted cluster 'ghost'" in ready(served)["message"]
        assert (served.traffic(), status(served)["router"]["version"]) == (OLD, version)
        waited(lambda: ready(served)["message"].startswith("every router rejected"))
        replaced(served)
        waited(lambda: ready(served)["reason"] == "RouterRejected")
        waited(lambda: "unknown weighted cluster 'ghost'" in ready(served)["message"])
    lost = f"lost {load.lost} of {load.answers.total()}"
    figure(f"a refused update is told after {took:.1f} s, both routers replaced meanwhile, {lost}")
    served.lost_nothing(load)
    served.ready()  # the operator as it was writes what routers take
    assert served.traffic() == NEW


def replaced(served: Served) -> None:
    """One router after the other is deleted, and its successor is ready."""
    for pod in served.pods("router"):
        served.namespace.kubectl("delete", "pod", pod, "--wait=false")
        waited(partial(served.are_ready, "router", 2, without=[pod]))


def status(served: Served) -> dict:
    return served.namespace.json("get", "mle", "fraud")["status"]


def ready(served: Served) -> dict:
    return next(each for each in status(served)["conditions"] if each["type"] == "Ready")


@contextmanager
def mutant(served: Served, operator: str) -> Iterator[None]:
    """The operator writes a wrong file for as long as the block lasts."""
    own = ("-n", operator)
    kubectl = served.namespace.cluster.kubectl
    before = served.namespace.cluster.json(*own, "get", "deployment", "wye")["spec"]["template"]["spec"]
    [container] = before["containers"]
    mutated = {**container, "env": [READ], "volumeMounts": [*container["volumeMounts"], MOUNT]}
    changed = {**before, "containers": [mutated], "volumes": [*before["volumes"], VOLUME]}
    kubectl(*own, "create", "configmap", "mutant", f"--from-literal=sitecustomize.py={MUTANT}")
    put(served, operator, changed)
    try:
        yield
    finally:
        put(served, operator, before)
        kubectl(*own, "delete", "configmap", "mutant")


def put(served: Served, operator: str, spec: dict) -> None:
    """Its pods have this spec, and run."""
    kubectl = served.namespace.cluster.kubectl
    change = json.dumps([{"op": "replace", "path": "/spec/template/spec", "value": spec}])
    kubectl("-n", operator, "patch", "deployment", "wye", "--type=json", "-p", change)
    kubectl("-n", operator, "rollout", "status", "deployment/wye", f"--timeout={PATIENCE}s")
