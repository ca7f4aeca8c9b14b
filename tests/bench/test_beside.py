"""What `make bench-peers` and `make soak` have that needs no server: requests, ratios, goals, tables, the slope."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from wye_runtime.codecs.messages import CLASSES

HERE = Path(__file__).parent


@pytest.fixture(scope="module", autouse=True)
def _bench():
    """The bench's modules know each other by their plain names, as scripts of one folder do."""
    sys.path.insert(0, str(HERE))
    yield
    sys.path.remove(str(HERE))


ROUNDS = 3


def cell(rival, way="JSON", connections=8, model="fraud", phase="a"):
    from verdicts import Cell

    return Cell(phase, rival, model, way, connections)


def slices(*rates, cpu=0.0):
    from slices import Slice

    return [Slice(int(rate), 0, 1.0, 0.1, 0.2, cpu) for rate in rates]


def test_a_ratio_is_within_a_round_and_within_a_phase():
    from verdicts import Found

    results = {cell("Wye"): slices(400, 40, 4), cell("Triton"): slices(100, 20, 1)}
    results |= {cell("Wye", phase="b"): slices(50), cell("ray serve", phase="b"): slices(10)}
    found = Found(results)
    assert found.beside("Wye", "Triton", "fraud", "JSON", 8) == 4
    assert found.beside("Wye", "ray serve", "fraud", "JSON", 8) == 5
    assert found.beside("Wye", "kserve", "fraud", "JSON", 8) is None
    assert found.to_best("fraud", "JSON", 8) == 4


def test_processor_time_is_compared_over_all_rounds():
    from verdicts import Found

    found = Found({cell("Wye"): slices(100, 300, cpu=0.1), cell("Triton"): slices(100, cpu=0.2)})
    assert found.spent(cell("Triton")) == pytest.approx(4)
    assert found.spent(cell("Wye", phase="b")) is None


def test_the_limit_is_a_static_answer_and_a_bare_run():
    from verdicts import BARE, STATIC, Found

    bare = {cell(BARE, "", 1): slices(100)}
    assert Found({**bare, cell(STATIC): slices(100), cell("Wye"): slices(25)}).to_limit(8) == 0.5


@pytest.mark.parametrize(
    ("reached", "least", "verdict"),
    [
        (3.5, True, "met"),
        (3.4, True, "missed"),
        (25.0, False, "met"),
        (26.0, False, "missed"),
        (None, True, "not measured"),
    ],
)
def test_a_goal_is_met_missed_or_not_measured(reached, least, verdict):
    from verdicts import Goal

    assert Goal("", 3.5 if least else 25.0, reached, least).verdict == verdict


def test_every_peer_of_the_goals_is_a_server_of_the_bench():
    from rivals import OTHERS, RIVALS
    from verdicts import PEERS

    assert set(PEERS) <= {each.name for each in RIVALS}
    for each in RIVALS:
        if each.home:
            pinned = (OTHERS / each.home / "requirements.txt").read_text().splitlines()
            assert all("==" in line for line in pinned if not line.startswith("#")), each.name


def test_who_is_left_out_stands_on_the_page_with_the_reason():
    from verdicts import pages

    page = pages({cell("Wye"): slices(5)}, {"Triton": "no wheel for this machine"})
    assert "* Triton: no wheel for this machine" in page
    assert "| tabular JSON, 8 connections: times Triton |  | ≥ 3.5 | not measured |" in page


def test_a_request_says_the_same_in_every_form():
    import wires

    rows = np.array([[0.5, 2]], np.float32)
    item = wires.Item("m", "", "x", "y", rows)
    binary, call = wires.protocol_binary(item), wires.grpc(item)
    assert binary.body.endswith(rows.tobytes())
    assert int(binary.headers[wires.LENGTH]) == len(binary.body) - rows.nbytes
    message = CLASSES["ModelInferRequest"].FromString(call.body[5:])
    assert (message.model_name, message.raw_input_contents[0]) == ("m", rows.tobytes())
    assert b'"data":[0.5,2.0]' in wires.protocol_json(item).body


@pytest.mark.parametrize(("bytes_each", "is_flat"), [(0.0, True), (1.5, True), (2.5, False)])
def test_memory_that_grows_by_requests_is_not_flat(bytes_each, is_flat):
    from soak import Reading, Soaked

    start_up = [Reading(1, 100, 10, 5)]
    readings = [Reading(n, n * 1000, int(90e6 + bytes_each * n * 1000), 5) for n in range(20, 100)]
    assert Soaked("1", start_up + readings, {}, {}).is_flat == is_flat
