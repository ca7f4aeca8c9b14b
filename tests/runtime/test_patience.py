"""When runs leave the event loop: the model's doing, not a pause of the machine."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

import toys
from wye_runtime.contract.reading import plainly
from wye_runtime.service.measuring import Patience

SHORT, LONG, NEVER = 1e-5, 6e-3, 0.2


@pytest.mark.parametrize(
    ("seconds", "over"),
    [
        ([SHORT] * 1000, False),
        ([LONG, *[SHORT] * 1000], False),
        ([*[LONG, *[SHORT] * 200] * 50], False),
        ([LONG] * 3, False),
        ([LONG] * 4, True),
        ([*[LONG, *[SHORT] * 10] * 10], True),
        ([SHORT, NEVER], True),
    ],
    ids=[
        "only short ones",
        "one long one",
        "a long one now and then",
        "three in a row",
        "four in a row",
        "one long one in eleven",
        "one that stops everybody",
    ],
)
def test_runs_leave_the_event_loop(seconds, over) -> None:
    patience = Patience()
    assert any([patience.is_over(each) for each in seconds]) == over


@pytest.mark.parametrize(
    ("bound", "text"), [(20040.0, "20040"), (0.1, "0.1"), (-3, "-3"), (2.0**53, "9007199254740992")]
)
def test_a_bound_is_shown_as_its_author_wrote_it(bound, text) -> None:
    assert plainly(bound) == text


LONG_SIDE, LONGER_SIDE = 1500, 4000  # a few and a hundred billion operations: never below 5 ms, and to be seen while on
STARTS = 5


def sized(side):
    return [{"name": "size", "datatype": "FP32", "shape": [], "data": [side]}]


def inline(servers):
    """A server that measured its model as short; on a busy machine a measurement may say otherwise."""
    for _ in range(STARTS):
        settings = {"requestTimeoutMs": 60_000}  # on a busy machine, too
        server = servers.start(
            toys.squared(), warmup={"input": {"size": 1}}, engine={"threads": 1}, requestSettings=settings
        ).ready()
        if server.line("decided where runs happen")["mode"] == "inline":
            return server
        server.stop()
    raise AssertionError(server.line("decided where runs happen"))


def mode(server) -> str:
    [line] = [line for line in server.inner.get("/metrics").text.splitlines() if line.startswith("wye_model_info{")]
    return line.split('mode="')[1].split('"')[0]


def test_runs_that_turn_out_to_be_long_move_to_threads(servers, wait_until) -> None:
    server = inline(servers)
    assert mode(server) == "inline"
    answers = [server.infer(sized(LONG_SIDE)) for _ in range(5)]
    assert [each.json()["outputs"][0]["data"] for each in answers] == [[LONG_SIDE]] * 5
    assert mode(server) == "threads"
    assert wait_until(lambda: server.line("runs moved to threads"))["level"] == "warning"
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(server.infer, sized(LONGER_SIDE))
        wait_until(lambda: server.load()["active"] == 1)  # the loop answers while the run is on
        assert answer.result().json()["outputs"][0]["data"] == [LONGER_SIDE]
    assert mode(server) == "threads"
    server.stop()
