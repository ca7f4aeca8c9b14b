"""The command line against a real API server: Endpoints that are well, and those that are not."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from cluster.kube import PATIENCE, Namespace
from cluster.serving import BODY, Served, deployment, endpoint, waited

Figure = Callable[[str], None]
WYE = [sys.executable, "-m", "wye_operator.cli.main"]
WELL, NOT_READY = 0, 3


@dataclass
class Wye:
    """Runs `wye` with a kubeconfig of its own; `out` and `err` are what it printed."""

    kubeconfig: str
    namespace: str
    folder: Path
    out: str = field(default="", init=False)
    err: str = field(default="", init=False)

    def __call__(self, *words: str) -> int:
        done = subprocess.run(self._argv(*words), capture_output=True, text=True, cwd=self.folder, timeout=PATIENCE)
        self.out, self.err = done.stdout, done.stderr
        assert "Traceback" not in self.err, self.err
        return done.returncode

    @contextmanager
    def going_on(self, *words: str) -> Iterator[Path]:
        """Run it until the end of the block, which is Ctrl-C; the file that its output goes to."""
        file = self.folder / "going-on.txt"
        with file.open("w") as out, subprocess.Popen(self._argv(*words), stdout=out, cwd=self.folder) as running:
            try:
                yield file
                running.send_signal(signal.SIGINT)
                assert running.wait(PATIENCE) == 130
            finally:
                running.kill()

    def _argv(self, *words: str) -> list[str]:
        return [*WYE, *words, "-n", self.namespace, "--kubeconfig", self.kubeconfig]


@pytest.fixture
def served(operator: str, namespace: Namespace, tmp_path: Path) -> Served:
    """A namespace with models, in a cluster with an operator."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "bad.onnx").write_bytes(b"no model")
    (tmp_path / "request.json").write_text(BODY)
    return Served.prepare(namespace, tmp_path / "models")


@pytest.fixture
def wye(served: Served, tmp_path: Path) -> Wye:
    """The administrator's `wye`."""
    return Wye(served.namespace.cluster.env["KUBECONFIG"], served.namespace.name, tmp_path)


def test_an_endpoint_that_is_well(served: Served, wye: Wye, figure: Figure):
    served.apply(endpoint(traffic={"blue": 100}), deployment("blue"), deployment("green"))
    begun = time.monotonic()
    assert wye("status") == WELL, wye.out + wye.err
    figure(f"wye status of one Endpoint with two Deployments: {time.monotonic() - begun:.1f} s\n{wye.out}")
    assert wye.out.startswith("fraud  Ready  serving  http://fraud.")
    assert [line.count(" ready ") for line in wye.out.splitlines() if "-model-" in line] == [1, 1]
    assert wye("status", "fraud", "-o", "json") == WELL
    assert json.loads(wye.out)["endpoints"][0]["deployments"][0]["traffic"] == {"effect": 100.0, "asked": 100.0}

    assert wye("invoke", "fraud", "-f", "request.json") == 0, wye.err
    assert wye.err.startswith("200 OK from blue (Endpoint fraud, namespace ")
    assert "probability" in json.loads(wye.out)
    assert wye("invoke", "fraud", "-f", "request.json", "--deployment", "green") == 0
    assert wye.err.startswith("200 OK from green ")
    assert wye("invoke", "fraud", "-f", "request.json", "--key", "wrong") == 1
    assert wye.err.startswith("401 Unauthorized")

    assert wye("keys", "show", "fraud", "--key", "primary") == 0
    assert wye.out == served.key + "\n"
    assert wye("logs", "fraud", "--router") == 0
    assert all(line.startswith("fraud-router-") for line in wye.out.splitlines())
    assert "/score" in wye.out
    assert wye("logs", "fruad") == 1
    assert "Endpoints: fraud; Deployments: fraud-blue, fraud-green" in wye.err


def test_a_large_body_goes_through_the_port_forward(served: Served, wye: Wye, figure: Figure):
    served.apply(endpoint(), deployment("blue"))
    rows = [[1.5, 2.5, 3.5, 4.5, 5.5, 6.5, 7.5]] * 100_000
    (wye.folder / "large.json").write_text(json.dumps({"x": rows}))
    begun = time.monotonic()
    assert wye("invoke", "fraud", "-f", "large.json") == 0, wye.err
    size = (wye.folder / "large.json").stat().st_size / 1e6
    figure(f"wye invoke with {size:.0f} MB by a port-forward: {time.monotonic() - begun:.1f} s")
    assert len(json.loads(wye.out)["probability"]) == len(rows)


def test_logs_are_followed_from_a_pod_to_its_successor(served: Served, wye: Wye):
    served.apply(endpoint(), deployment("blue"))
    with wye.going_on("logs", "fraud", "--deployment", "blue", "--follow") as file:
        waited(lambda: named(file) != set())
        before = named(file)
        served.namespace.kubectl("delete", "pod", *before, "--wait=false")
        waited(lambda: named(file) > before, file.read_text)


def named(file: Path) -> set[str]:
    """The pods of its whole lines."""
    return {line.split()[0] for line in file.read_text().rpartition("\n")[0].splitlines()}


def test_why_it_is_not_well(served: Served, wye: Wye, figure: Figure):
    greedy = deployment("greedy", resources={"requests": {"cpu": "1000"}, "limits": {"cpu": "1000"}})
    broken = deployment("broken", model={"uri": "configmap://models/bad.onnx"})
    traffic = {"blue": 90, "greedy": 10}
    served.namespace.apply(endpoint(traffic=traffic), deployment("blue"), greedy, broken)
    wanted = ("PodUnschedulable", "Insufficient cpu", "ModelInvalid", "CrashLoopBackOff", "last failure: fraud-broken-")
    waited(lambda: wye("status") == NOT_READY and all(w in wye.out for w in wanted), lambda: wye.out + wye.err)
    figure(f"wye status of what is not well:\n{wye.out}")
    assert "0% (asked 10%)" in wye.out
    assert wye("logs", "fraud-greedy") == 0
    assert wye.err == "wye: nothing was written yet\n"
    assert wye("logs", "fraud", "--deployment", "broken", "--previous") == 0
    assert "ModelInvalid" in wye.out or "bad.onnx" in wye.out


def test_what_an_account_may_not_do_is_said_with_the_role_that_would_do(served: Served, wye: Wye, figure: Figure):
    served.apply(endpoint(), deployment("blue"))
    space = served.namespace
    space.kubectl("create", "serviceaccount", "nobody")
    nobody = Wye(str(wye.folder / "nobody.config"), wye.namespace, wye.folder)
    write_kubeconfig(space, nobody.kubeconfig, space.kubectl("create", "token", "nobody").strip())

    said = []
    for words in (["status"], ["logs", "fraud"], ["keys", "show", "fraud"], ["invoke", "fraud", "-f", "request.json"]):
        assert nobody(*words) == 1
        said.append(nobody.err)
    figure("wye, for an account that may do nothing:\n" + "".join(said))
    assert all('cannot list resource "ml' in s or 'cannot get resource "ml' in s for s in said)
    assert all(f"the ClusterRole view, bound in namespace {wye.namespace}, would allow it" in s for s in said)

    def grant(role: str) -> None:
        account = f"--serviceaccount={wye.namespace}:nobody"
        space.kubectl("create", "rolebinding", f"nobody-{role}", f"--clusterrole={role}", account)

    grant("view")
    waited(lambda: nobody("status") == WELL, lambda: nobody.err)
    assert nobody("logs", "fraud", "--router") == 0, nobody.err
    assert nobody("keys", "show", "fraud") == 1
    assert f"the ClusterRole edit, bound in namespace {wye.namespace}, would allow it" in nobody.err
    assert nobody("invoke", "fraud", "-f", "request.json", "--key", served.key) == 1
    assert 'resource "pods/portforward"' in nobody.err
    figure("  and for one that may view:\n" + nobody.err)
    grant("edit")
    waited(lambda: nobody("keys", "show", "fraud") == 0, lambda: nobody.err)
    assert nobody("invoke", "fraud", "-f", "request.json") == 0, nobody.err


def write_kubeconfig(space: Namespace, to: str, token: str) -> None:
    """The same cluster, with the token of an account."""
    body = space.cluster.json("config", "view", "--raw", "--flatten")
    body["users"] = [{"name": user["name"], "user": {"token": token}} for user in body["users"]]
    Path(to).write_text(json.dumps(body))
