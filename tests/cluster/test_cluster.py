"""The cluster itself serves: locally built images run under the restricted profile, Services and DNS lead to them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cluster.harness.build import PROBE, build
from cluster.harness.images import write_archive
from cluster.harness.machine import backend
from cluster.harness.room import Process
from cluster.kube import PATIENCE, Cluster, Namespace

HARNESS = Path(__file__).parent / "cluster"
IMAGE = "localhost/wye-test:1"
RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(name: str, *args: str, image: str = IMAGE) -> dict:
    """A pod of one container that is not started again when it ends."""
    container = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "Never",
        "args": list(args),
        "securityContext": RESTRICTED,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": [container], "restartPolicy": "Never", "terminationGracePeriodSeconds": 1},
    }


def service(name: str) -> dict:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]},
    }


@pytest.fixture(scope="module")
def image(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An image that is built here and loaded like every other."""
    archive = tmp_path_factory.mktemp("image") / "test.tar"
    config = {"Entrypoint": ["/probe"], "User": "65535:65535"}
    write_archive(archive, IMAGE, {"probe": build(PROBE) / "probe"}, config)
    cluster.load(str(archive))
    return IMAGE


def test_a_pod_of_a_locally_built_image_answers_through_its_service_by_name(namespace: Namespace, image: str):
    namespace.apply(pod("server", "serve"), service("server"))
    namespace.wait("condition=Ready", "pod/server")
    until_its_service_answers(namespace, "server")
    url = f"http://server.{namespace.name}.svc.cluster.local/"
    namespace.apply(pod("client", "get", url))
    namespace.wait("jsonpath={.status.phase}=Succeeded", "pod/client")
    assert namespace.kubectl("logs", "client") == "server\n"


def test_the_harness_reaches_services_and_pods_from_inside_the_cluster_s_network(namespace: Namespace, image: str):
    namespace.apply(pod("server", "serve"), service("server"))
    namespace.wait("condition=Ready", "pod/server")
    until_its_service_answers(namespace, "server")
    own = namespace.json("get", "pod", "server")["status"]["podIP"]
    assert namespace.cluster.run(str(build(PROBE) / "probe"), "get", f"http://{own}:8080") == "server\n"


def until_its_service_answers(namespace: Namespace, name: str) -> None:
    """The node knows a Service a moment after its pod is ready; until then it refuses connections."""
    address = namespace.json("get", "service", name)["spec"]["clusterIP"]
    asked = f"for i in $(seq 600); do {build(PROBE) / 'probe'} get http://{address} && exit; sleep 0.1; done; exit 1"
    assert namespace.cluster.run("sh", "-c", asked) == f"{name}\n"


def test_the_restricted_profile_is_enforced_in_a_test_s_namespace(namespace: Namespace):
    bare = pod("root", "serve")
    bare["spec"]["containers"][0]["securityContext"] = {"runAsUser": 0}
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        namespace.apply(bare)


def test_what_a_failing_test_leaves_is_collected(namespace: Namespace, image: str, tmp_path: Path):
    namespace.apply(pod("short", "get", "http://127.0.0.1:1"))
    namespace.wait("jsonpath={.status.phase}=Failed", "pod/short")
    namespace.collect(tmp_path / "kept")
    assert "connection refused" in (tmp_path / "kept" / "short.log").read_text()
    assert "Started" in (tmp_path / "kept" / "events.txt").read_text()
    assert "image: localhost/wye-test:1" in (tmp_path / "kept" / "objects.yaml").read_text()


def test_a_namespace_is_gone_after_its_block(cluster: Cluster):
    with cluster.namespace(f"t-short-{os.getpid()}") as own:
        name = own.name
    cluster.kubectl("wait", "--for=delete", f"namespace/{name}", f"--timeout={PATIENCE}s")
    assert "NotFound" in cluster.attempt("get", "namespace", name).stderr


@pytest.mark.skipif("backend().name != 'bare'", reason="components are stopped on `bare` only")
@pytest.mark.parametrize("component", ["kubelet", "kube-apiserver"])
def test_a_component_that_was_killed_is_started_again(cluster: Cluster, component: str):
    cluster.backend.stop(component)
    assert not cluster.backend.is_up()
    cluster.backend.up()
    assert cluster.kubectl("get", "--raw=/readyz") == "ok"


def test_another_checkout_is_told_whose_cluster_it_is(cluster: Cluster, tmp_path: Path):
    if backend().name != "bare":
        return  # on kind every checkout has its own
    other = tmp_path / "other" / "tests" / "cluster"
    other.parent.mkdir(parents=True)
    subprocess.run(["cp", "-r", str(HARNESS.parent), str(other)], check=True)
    done = subprocess.run([sys.executable, str(other / "cluster"), "down"], capture_output=True, text=True)
    assert done.returncode == 1
    assert f"belongs to {HARNESS.parents[2]}" in done.stderr
    assert f"make -C {HARNESS.parents[2]} cluster-down" in done.stderr
    assert cluster.backend.is_up()


def test_a_process_is_known_by_its_start_and_not_by_its_number_alone():
    own = Process.seen(os.getpid())
    assert own.is_alive
    assert not Process(own.pid, "1").is_alive
    assert not Process.seen(2**22 + 1).is_alive


def test_nothing_in_the_cluster_reaches_the_outside(cluster: Cluster):
    if backend().name != "bare":
        return  # kind's nodes are ordinary containers, with a way out
    words = "import socket; socket.create_connection(('192.0.2.1', 53), timeout=2)"
    with pytest.raises(AssertionError, match="unreachable"):
        cluster.run(sys.executable, "-c", words)
