"""The cluster, and a namespace for each test; what is in it when the test fails is kept in .artifacts/<test>."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.audit import now
from cluster.chart import install, uninstall
from cluster.harness.debian import ensure
from cluster.harness.machine import Backend, backend
from cluster.harness.places import CHECKOUT, TAG
from cluster.harness.say import Refusal, output, step
from cluster.kube import PATIENCE, Cluster, Namespace, namespace_name
from cluster.serving import Served, waited

HERE = Path(__file__).parent
ARTIFACTS = HERE / ".artifacts"
CRDS = CHECKOUT / "crds"
FAILED = pytest.StashKey[bool]()
FIGURES = pytest.StashKey[list[str]]()
OPERATOR = "wye-system"
BUILD = ("cluster", "images", "image", "promtool", "filled")  # fixtures that build what the machine does not have yet
FIRST_BUILD = 3000  # seconds for the test that comes first to one of them: Kubernetes takes 15 minutes on 2 cores
LONGEST = 1800  # seconds for every other test: many waits, each of which has PATIENCE
BEGUN = now()


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
    running.close()
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
def images(cluster: Cluster, request: pytest.FixtureRequest) -> str:
    """The tag of our images, built from this checkout and loaded."""
    capture = request.config.pluginmanager.getplugin("capturemanager")
    with capture.global_and_fixture_disabled():
        if cluster.backend.name == "bare":
            ensure(["buildah", "debootstrap"])
        with step("building the images", "10 s, 4 minutes the first time"):
            output([str(CHECKOUT / "images" / "build")], env=os.environ | {"TAG": TAG})
        cluster.load(*(f"localhost/wye-{name}:{TAG}" for name in ("operator", "runtime", "router")))
    return TAG


@pytest.fixture(scope="session")
def operator(cluster: Cluster, images: str) -> Iterator[str]:
    """The namespace of the operator, installed by the chart for all namespaces; uninstalled at the end."""
    install(cluster, images, OPERATOR)
    yield OPERATOR
    cluster.remove_namespaces()  # while the operator still can say what it does with them
    uninstall(cluster, OPERATOR)
    cluster.kubectl("delete", "namespace", OPERATOR, f"--timeout={PATIENCE}s")


@pytest.fixture
def served(operator: str, namespace: Namespace, tmp_path: Path) -> Served:
    """A namespace with models, in a cluster with an operator."""
    return Served.prepare(namespace, tmp_path)


@pytest.fixture(scope="session")
def begun() -> str:
    """When this run's tests began."""
    return BEGUN


@pytest.fixture
def every_scenario(request: pytest.FixtureRequest) -> None:
    """Skips where not all scenarios ran, or one of them failed: nothing can be said of all of them then."""
    chosen = {item.path for item in request.session.items}
    config = request.config
    if not set(HERE.glob("test_*.py")) <= chosen or any("::" in arg for arg in config.args):
        pytest.skip("not all scenarios were chosen")
    if config.getoption("keyword") or config.getoption("markexpr") or config.option.lf:
        pytest.skip("not all scenarios were chosen")
    if request.session.testsfailed:
        pytest.skip("a scenario failed, and others may not have asked for all they need")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The operator comes with the first test that asks for it, so those that want a cluster without one are before.

    What is marked `last` looks back on all the others.
    """
    for item in items:
        if item.path.is_relative_to(HERE) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LONGEST))
    items.sort(key=lambda item: (item.get_closest_marker("last") is not None, "operator" in item.fixturenames))
    for fixture in BUILD:
        first = next((item for item in items if fixture in item.fixturenames), None)
        if first is not None:
            first.add_marker(pytest.mark.timeout(FIRST_BUILD), append=False)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Keep a figure: it is printed at the end of the run, and not asserted."""
    return request.config.stash.setdefault(FIGURES, []).append


def pytest_terminal_summary(terminalreporter, config: pytest.Config) -> None:
    figures = config.stash.get(FIGURES, [])
    if figures:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(figures))
        (ARTIFACTS / "figures.txt").write_text("\n".join(figures) + "\n")


@pytest.fixture(scope="session")
def crds(cluster: Cluster) -> Cluster:
    """The cluster with our CRDs, as `kubectl apply --server-side -f crds/` installs them."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    cluster.kubectl("wait", "--for=condition=Established", "-f", str(CRDS), f"--timeout={PATIENCE}s")
    # an API server serves a kind, and its description, a moment after it said so
    waited(lambda: cluster.attempt("get", "wye", "-A").returncode == 0)
    waited(lambda: all(cluster.attempt("explain", f"{kind}.spec").returncode == 0 for kind in ("mle", "mld")))
    return cluster
