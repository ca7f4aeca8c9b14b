"""One router and its upstreams for each module that asks for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from render.router import Running, serving
from render.upstream import Upstream
from wye_operator.plan.wanted import RouterPlan


@pytest.fixture(scope="module")
def upstreams() -> Iterator[dict[str, Upstream]]:
    """Three deployments of one instance each, and one for the rough tests."""
    running = {name: Upstream(name) for name in ("blue", "green", "violet", "red")}
    yield running
    for upstream in running.values():
        upstream.stop()


@pytest.fixture(scope="module")
def router(plan: RouterPlan, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A router that serves the module's fixture `plan`."""
    with serving(plan, tmp_path_factory.mktemp("router")) as running:
        yield running
