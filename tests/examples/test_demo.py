"""`make demo` as people run it, and what it says when something is wrong."""

from __future__ import annotations

import importlib.util
import re
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

DEMO = Path(__file__).parents[2] / "examples/demo.py"
ROW = re.compile(r"│ (\S+)(?: \(mirror\))? +│ +(\d+) %(?: copy)? │ +([\d,]+) │ +(\d+) │")
TRAFFIC = {"blue": 90.0, "green": 10.0}
SKEWED = {"blue": 1600, "green": 400}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(DEMO), "--once", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", DEMO)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["demo"] = importlib.util.module_from_spec(spec)
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def test_once_sends_2000_transactions_and_ends_well(fraud: Path) -> None:
    done = run("--port", "0", "--folder", str(fraud))
    assert done.returncode == 0, done.stdout + done.stderr
    rows = {
        name: (int(share), int(count.replace(",", "")), int(errors))
        for name, share, count, errors in ROW.findall(done.stdout)
    }
    assert {name: (share, errors) for name, (share, _, errors) in rows.items()} == {
        "blue": (90, 0),
        "green": (10, 0),
        "violet": (50, 0),
    }
    assert rows["blue"][1] + rows["green"][1] == 2000
    assert 850 < rows["violet"][1] < 1150
    assert re.search(
        r"^curl -s http://127.0.0.1:\d+/score -H 'Authorization: Bearer \S+' -d '\{.*\}'$", done.stdout, re.M
    )


def test_a_port_in_use_is_one_line(fraud: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("--port", str(port), "--folder", str(fraud))
    assert done.returncode == 2
    assert done.stderr.startswith(f"demo: port {port} is in use by another program")
    assert len(done.stderr.splitlines()) == 1


def test_no_envoy_is_one_line(fraud: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WYE_ENVOY", "/bin/true")
    done = run("--port", "0", "--folder", str(fraud))
    assert done.returncode == 2
    assert done.stderr.startswith("demo: /bin/true does not say an Envoy version")
    assert len(done.stderr.splitlines()) == 1


def answers(demo: ModuleType, **counts: int) -> list:
    return [demo.Answer(name, 200, 0.001, "accept") for name, count in counts.items() for _ in range(count)]


@pytest.mark.parametrize(
    ("counts", "sent", "answered", "found"),
    [
        pytest.param({"blue": 1790, "green": 210}, 1010, 1010, [], id="chance alone is no problem"),
        pytest.param(
            SKEWED,
            1000,
            1000,
            [f"the split {SKEWED} does not fit the weights {TRAFFIC} (p = 3.0e-50)"],
            id="another split is",
        ),
        pytest.param(
            {"blue": 1790, "green": 200, "violet": 10},
            1000,
            1000,
            ["10 answers came from a deployment without a share"],
            id="a shadow that answers callers is",
        ),
        pytest.param(
            {"blue": 1800, "green": 200},
            1800,
            1800,
            ["violet was sent 1800 copies of 2000 requests, want about 50 %"],
            id="a mirror that sees too much is",
        ),
        pytest.param(
            {"blue": 1800, "green": 200},
            1000,
            900,
            ["violet answered 900 of the 1000 copies that it was sent"],
            id="a shadow that loses copies is",
        ),
    ],
)
def test_what_chance_does_not_explain_is_said(
    demo: ModuleType, counts: dict[str, int], sent: int, answered: int, found: list[str]
) -> None:
    mirrors = {"violet": demo.Copies(50.0, sent, answered)}
    assert list(demo.problems(answers(demo, **counts), TRAFFIC, mirrors)) == found


def test_failed_requests_are_said_with_their_status(demo: ModuleType) -> None:
    failed = [demo.Answer("blue", 503, 0.001, ""), demo.Answer("", 0, 0.001, "")]
    found = list(demo.problems(answers(demo, blue=1800, green=198) + failed, TRAFFIC, {}))
    assert found[0] == "2 of 2000 requests failed (status none, 503)"
