"""GitOps: what the operator does leaves no trace in what users own, and kstatus' rules hold at every moment."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import yaml

from cluster.kube import Namespace
from cluster.serving import Served, deployment, endpoint, settled, versions, waited
from kstatus import broken, computed

Figure = Callable[[str], None]
AS_FLUX = ("--field-manager=kustomize-controller",)
WATCH = "/apis/wye.dev/v1alpha1/namespaces/{}/{}?watch=1&timeoutSeconds=1800"
USERS = {"name", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"}


class Watched:
    """Every version of the users' objects of a namespace, kept in files while the block lasts."""

    def __init__(self, namespace: Namespace, folder: Path) -> None:
        self.namespace, self.files = namespace, [folder / "mlendpoints", folder / "mldeployments"]

    @contextmanager
    def running(self) -> Iterator[None]:
        with ExitStack() as stack:
            programs = [stack.enter_context(self._watch(file)) for file in self.files]
            yield
            time.sleep(1)  # the last version comes by the same wire
            assert [program.poll() for program in programs] == [None, None], "a watch ended on the way"

    @contextmanager
    def _watch(self, file: Path) -> Iterator[subprocess.Popen]:
        words = ["kubectl", "get", "--raw", WATCH.format(self.namespace.name, file.name)]
        with file.open("wb") as out, subprocess.Popen(words, stdout=out, env=self.namespace.cluster.env) as program:
            try:
                yield program
            finally:
                program.terminate()

    def by_object(self) -> dict[str, list[dict]]:
        """The versions of each object, in their order."""
        found: dict[str, list[dict]] = {}
        for file in self.files:
            for line in file.read_text().splitlines():
                event = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    body = event["object"]
                    found.setdefault(f"{body['kind']} {body['metadata']['name']}", []).append(body)
        return found


def as_files(*objects: dict) -> str:
    return "\n---\n".join(yaml.safe_dump(item) for item in objects)


def test_a_day_of_events_leaves_nothing_to_see_for_git(served: Served, tmp_path: Path, figure: Figure):
    namespace = served.namespace
    git = {"fraud": endpoint(traffic={"blue": 100}), "blue": deployment("blue", instanceCount=2)}
    git["green"] = deployment("green")  # its instances are somebody else's: kubectl scale
    watched = Watched(namespace, tmp_path)
    with watched.running():
        push(served, git)
        for weights in ({"blue": 50, "green": 50}, {"blue": 10, "green": 90}, {"blue": 99.75, "green": 0.25}):
            git["fraud"] = endpoint(traffic=weights)
            push(served, git)
            assert served.traffic() == weights, "kubectl wait came back before it was so"
        namespace.kubectl("scale", "mld/fraud-green", "--replicas=2")
        served.ready()
        git["blue"] = deployment("blue", instanceCount=1, model={"uri": "configmap://models/two.onnx"})
        push(served, git)
        pod = namespace.kubectl("get", "pods", "-l", "wye.dev/owner=fraud-blue", "-o", "name").split()[0]
        namespace.kubectl("delete", pod, "--grace-period=0", "--force")
        namespace.kubectl("delete", "service/fraud", "deployment.apps/fraud-router", "--wait=false")
        namespace.kubectl("delete", "secret", "fraud-keys")
        namespace.wait("create", "secret/fraud-keys")
        served.ready()
        key = served.key
        waited(lambda: served.ask(key)[0] == 200)
        served.ready()
        settled(namespace)
        nothing_to_see(served, git)
    judged(watched, figure)


def push(served: Served, git: dict[str, dict]) -> None:
    """What Flux does: server-side apply of everything, and wait until all of it is Current."""
    served.namespace.apply(*git.values(), options=AS_FLUX)
    served.namespace.wait("condition=Ready", "mle/fraud", *(f"mld/fraud-{n}" for n in git if n != "fraud"))


def nothing_to_see(served: Served, git: dict[str, dict]) -> None:
    """The same files again: no difference, no conflict, no new version; and of us nothing but the status."""
    namespace = served.namespace
    files = as_files(*git.values())
    assert namespace.kubectl("diff", "--server-side", *AS_FLUX, "-f", "-", stdin=files) == ""
    before = versions(namespace)
    namespace.apply(*git.values(), options=AS_FLUX)
    time.sleep(2)
    assert versions(namespace) == before
    for item in namespace.json("get", "wye", "--show-managed-fields")["items"]:
        assert set(item["metadata"]) <= USERS, item["metadata"]
        ours = [m for m in item["metadata"]["managedFields"] if m["manager"] == "wye"]
        assert [m.get("subresource") for m in ours] == ["status"], ours


def judged(watched: Watched, figure: Figure, *, may_stall: bool = False) -> None:
    by_object = watched.by_object()
    count = sum(map(len, by_object.values()))
    figure(f"kstatus: {count} versions of {len(by_object)} objects, every one of them by the rules")
    assert count > 3 * len(by_object) > 0
    assert [rule for seen in by_object.values() for rule in broken(seen, may_stall=may_stall)] == []
    assert {name for name, seen in by_object.items() if computed(seen[0]) == "Current"} == set(), "Current at birth"


def test_in_whatever_order_the_files_come_nothing_is_stalled(served: Served, tmp_path: Path, figure: Figure):
    """As Flux and Argo CD may bring them: Deployments, then the Endpoint, then the Secret and the model."""
    namespace = served.namespace
    namespace.kubectl("delete", "configmap", "models")
    keys = {"primaryKey": "Zmlyc3Q=", "secondaryKey": "c2Vjb25k"}
    own = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "own-keys"}, "data": keys}
    watched = Watched(namespace, tmp_path / "watched")
    (tmp_path / "watched").mkdir()
    with watched.running():
        namespace.apply(deployment("blue"), options=AS_FLUX)
        told(namespace, "mld/fraud-blue", "EndpointNotFound")
        weights = {"traffic": {"blue": 60, "green": 40}}
        namespace.apply(endpoint(keys={"secretName": "own-keys"}, **weights), options=AS_FLUX)
        told(namespace, "mld/fraud-blue", "ModelFetch")
        namespace.apply(own)
        namespace.kubectl("create", "configmap", "models", *(f"--from-file={f}" for f in tmp_path.glob("*.onnx")))
        namespace.apply(deployment("green"), options=AS_FLUX)
        served.ready()
    judged(watched, figure)
    assert served.traffic() == weights["traffic"]


def told(namespace: Namespace, what: str, reason: str) -> None:
    namespace.wait('jsonpath={.status.conditions[?(@.type=="Ready")].reason}=' + reason, what)


def test_a_client_side_apply_has_nothing_to_change_either(served: Served):
    """kubectl apply without --server-side keeps the last manifest in an annotation of its own; ours stays out of it."""
    files = as_files(endpoint(traffic={"blue": 100}), deployment("blue"))
    served.namespace.kubectl("apply", "-f", "-", stdin=files)
    served.ready()
    before = settled(served.namespace)
    assert served.namespace.kubectl("diff", "-f", "-", stdin=files) == ""
    told_so = served.namespace.kubectl("apply", "-f", "-", stdin=files)
    assert {line.rpartition(" ")[2] for line in told_so.splitlines()} == {"unchanged"}
    assert versions(served.namespace) == before


def test_an_edit_that_replaces_routers_is_ready_when_they_are_replaced(served: Served, figure: Figure):
    """The routers from before have the newest routes at once, and the listener from before the edit."""
    served.apply(endpoint(traffic={"blue": 100}), deployment("blue"))
    before, begun = set(served.pods("router")), time.monotonic()
    with served.load() as load:
        served.apply(endpoint(traffic={"blue": 100}, limits={"maxRequestBytes": "1Mi"}))
        took, after = time.monotonic() - begun, set(served.pods("router"))
        served.apply(endpoint(traffic={"blue": 100}, limits={"maxRequestBytes": "1Mi"}, router={"replicas": 2}))
    assert not before & after
    assert len(served.pods("router")) == 2
    figure(f"an edit of the listener: Ready with another router after {took:.1f} s")
    served.lost_nothing(load)
