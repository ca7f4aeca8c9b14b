"""One router and its upstreams for each module that asks for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ports import free_port
from render import plans
from render.router import Running, serving
from render.upstream import Upstream
from wye_operator.plan.wanted import RouterPlan


@pytest.fixture(scope="module")
def upstreams(traced: str) -> Iterator[dict[str, Upstream]]:
    """Three deployments of one instance each, and one for the rough tests; others for each way."""
    del traced
    running = {name: Upstream(name) for name in ("blue", "green", "violet", "red")}
    yield running
    for upstream in running.values():
        upstream.stop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A module that has EITHER_WAY is run twice: with no request traced, and with every one."""
    if "router" in metafunc.fixturenames and hasattr(metafunc.module, "EITHER_WAY"):
        metafunc.parametrize("traced", metafunc.module.EITHER_WAY, indirect=True, scope="module")


@pytest.fixture(scope="module")
def traced(request: pytest.FixtureRequest) -> str:
    """Empty, or what says that every request is traced."""
    return str(getattr(request, "param", ""))


@pytest.fixture(scope="module")
def router(plan: RouterPlan, traced: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A router that serves the module's fixture `plan`."""
    served = plans.traced(plan, free_port()) if traced else plan
    with serving(served, tmp_path_factory.mktemp("router")) as running:
        yield running
