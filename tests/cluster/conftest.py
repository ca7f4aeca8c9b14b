"""The cluster, and a namespace for each test; what is in it when the test fails is kept in .artifacts/<test>."""

from __future__ import annotations

import fcntl
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.harness.machine import Backend, backend
from cluster.harness.say import Refusal
from cluster.kube import Cluster, Namespace, namespace_name

HERE = Path(__file__).parent
ARTIFACTS = HERE / ".artifacts"
CRDS = HERE.parents[1] / "crds"
FAILED = pytest.StashKey[bool]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    report = yield
    if report.failed:
        item.stash[FAILED] = True
    return report


@pytest.fixture(scope="session")
def machine(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """The back end, up: brought up when it was not, and then taken down at the end."""
    ARTIFACTS.mkdir(exist_ok=True)
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with (ARTIFACTS / ".lock").open("w") as lock:
        _only_run(lock)
        with capture.global_and_fixture_disabled():
            found, was_up = _brought_up()
        yield found
        if not was_up:
            with capture.global_and_fixture_disabled():
                found.down()


def _only_run(lock) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pytest.exit("another run of the cluster tests is at work in this checkout", returncode=2)


def _brought_up() -> tuple[Backend, bool]:
    """No cluster is no skipped test: whoever asked for these tests has to know."""
    try:
        found = backend()
        was_up = found.is_up()
        found.up()
    except Refusal as refusal:
        pytest.exit(f"no cluster: {refusal}", returncode=2)
    return found, was_up


@pytest.fixture(scope="session")
def cluster(machine: Backend) -> Iterator[Cluster]:
    """The running cluster; no namespace of an earlier run is in it, and none of this one is left in it."""
    running = Cluster.of(machine)
    running.remove_namespaces()
    yield running
    running.remove_namespaces()


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[Namespace]:
    """A namespace of the test's own: evidence is collected from it when the test fails, and then it is gone."""
    kept = ARTIFACTS / re.sub(r"[^\w.-]+", "-", request.node.name)
    shutil.rmtree(kept, ignore_errors=True)
    with cluster.namespace(namespace_name(request.node.name)) as own:
        yield own
        if request.node.stash.get(FAILED, False):
            own.collect(kept)


@pytest.fixture(scope="session")
def crds(cluster: Cluster) -> Cluster:
    """The cluster with our CRDs, as `kubectl apply --server-side -f crds/` installs them."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    cluster.kubectl("wait", "--for=condition=Established", "-f", str(CRDS), "--timeout=30s")
    return cluster
