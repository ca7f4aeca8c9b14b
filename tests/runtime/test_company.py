"""Rows of several requests in one run: only where a model's rows stay as they are in company, and nobody is harmed."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import toys
from wye_runtime import settings
from wye_runtime.engine.artifact import artifact_at
from wye_runtime.engine.model import load
from wye_runtime.errors import ConfigError, InvalidInput, ModelError, RequestTimeout
from wye_runtime.metrics import Metrics
from wye_runtime.protocol import RawRequest
from wye_runtime.service import Service
from wye_runtime.service.batching import Unsplittable, joined, parted, rows_of, shapes_of
from wye_runtime.service.company import Batching, Trial, batching, compared, distance
from wye_runtime.service.loading import loaded
from wye_runtime.service.remembering import Findings
from wye_runtime.settings import BatchingSettings, Engine, ModelSource

ALONE = "change with the rows beside it"


def model_of(made, tmp_path):
    return load(artifact_at(ModelSource(str(toys.saved(made, tmp_path / "toy.onnx")))), Engine("CPU", 1))


def found(made, tmp_path):
    model = model_of(made, tmp_path)
    kinds = {"FP32": np.float32, "INT64": np.int64}
    row = {s.name: np.zeros(np.maximum(s.shape, 1), kinds[s.datatype]) for s in model.signature.inputs}
    return compared(model, row, [spec.name for spec in model.signature.outputs])


@pytest.mark.parametrize(("made", "said"), [(toys.linear, "the same in company"), (toys.classifier, "bit by bit")])
def test_rows_that_stay_as_they_are_may_share_a_run(made, said, tmp_path) -> None:
    said_of_it = found(made(), tmp_path)
    assert isinstance(said_of_it, str)
    assert said in said_of_it


ALONES = {
    "a scale that all rows share": (toys.quantised, ALONE),
    "a first dimension that is time": (toys.summing, ALONE),
    "one answer for all rows": (toys.pooled, "has not one row for each row"),
    "indices that nobody can make up": (toys.raising, "no different rows"),
}


@pytest.mark.parametrize("case", ALONES)
def test_rows_that_change_in_company_run_alone(case, tmp_path) -> None:
    made, why = ALONES[case]
    said = found(made(), tmp_path)
    assert isinstance(said, Batching)
    assert said.rows == 1
    assert why in said.why


@pytest.mark.parametrize(
    ("mode", "rows"), [({"mode": "Never"}, 1), ({"mode": "Always"}, 64), ({"mode": "Always", "maxBatchSize": 5}, 5)]
)
def test_what_is_asked_for_is_done(mode, rows, tmp_path) -> None:
    asked = settings.batching(mode)
    assert batching(Trial(model_of(toys.summing(), tmp_path), None, ["y"]), asked).rows == rows


def test_a_fixed_first_dimension_is_never_joined(tmp_path) -> None:
    model = model_of(toys.linear(3, batch=1), tmp_path)
    said = batching(Trial(model, None, ["probability"]), BatchingSettings("Always"))
    assert said == Batching(1, "the first dimension of x is fixed")


def test_the_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match='batching.mode is "auto", want one of Auto, Never, Always'):
        settings.batching({"mode": "auto"})
    with pytest.raises(ConfigError, match="batching.maxBatchSize is 0, want an integer of at least 1"):
        settings.batching({"maxBatchSize": 0})


@pytest.mark.parametrize(
    ("one", "other", "apart"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, np.nan], [1.0, np.nan], 0.0),
        ([1.0, np.nan], [1.0, 2.0], np.inf),
        ([1.0, np.inf], [1.0, -np.inf], np.inf),
        ([1.0, 4.0], [1.0, 4.0 - 2**-20], 2.0),
        ([0.0, 0.0], [0.0, 1.0], 2.0**23),
    ],
)
def test_distance_is_in_units_of_the_last_place(one, other, apart) -> None:
    assert distance(np.array(one, np.float32), np.array(other, np.float32)) == apart


def test_integers_and_strings_are_the_same_or_not() -> None:
    assert distance(np.array([1, 2]), np.array([1, 2])) == 0
    assert distance(np.array([1, 2]), np.array([1, 3])) == np.inf
    assert distance(np.array(["a"], object), np.array(["b"], object)) == np.inf


def test_rows_are_joined_and_parted_in_their_order() -> None:
    feeds = [{"x": np.full((count, 2), count)} for count in (1, 3, 2)]
    counts = [rows_of(each) for each in feeds]
    parts = [*parted({"y": joined(feeds)["x"]}, counts)]
    assert [each["y"].tolist() for each in parts] == [[[1, 1]], [[3, 3]] * 3, [[2, 2]] * 2]
    with pytest.raises(Unsplittable):
        next(parted({"y": np.zeros(5)}, counts))
    assert shapes_of(feeds[0]) == shapes_of(feeds[1])
    assert shapes_of(feeds[0]) != shapes_of({"x": np.zeros((1, 3))})
    assert rows_of({"a": np.zeros((2, 1)), "b": np.zeros((3, 1))}) == 0


def megabytes() -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1000


def test_what_larger_runs_needed_is_given_back(tmp_path) -> None:
    """Eight rows and more are tried at load, 2 MB each; the model's own 6 MB and one row stay."""
    path = toys.saved(toys.wide(), tmp_path / "toy.onnx")
    config = settings.parse_config({"model": {"name": "toy", "path": str(path)}, "engine": {"threads": 1}})
    before = megabytes()
    ready = loaded(config, Metrics())
    assert ready.batching.why != "no warm-up run to measure"
    # 28 in a process of its own, fewer behind other tests; 230 where nothing is given back
    assert megabytes() - before < 100


def serving(made, tmp_path, elements=1000, **more) -> Service:
    """A service over a toy whose requests share runs, in the event loop or (`elements=0`) in one thread; no ports."""
    path = toys.saved(made, tmp_path / "toy.onnx")
    config = {"model": {"name": "toy", "path": str(path)}, "batching": {"mode": "Always"}, "warmup": {"requests": 20}}
    service = Service(settings.parse_config({**config, **more}), Metrics())
    ready = loaded(service.config, service.metrics)
    place = type(ready.place)(elements, "the test says so")  # however busy the machine is
    service.serve(replace(ready, findings=Findings(place, Batching(8, "so, too"))))
    return service


def runs(service) -> int:
    return sum(service.metrics.run_seconds.read().counts)


def infer(name, datatype, shape, data) -> RawRequest:
    tensor = {"name": name, "datatype": datatype, "shape": shape, "data": data}
    return RawRequest(json.dumps({"inputs": [tensor]}).encode(), "id", "toy")


def data_of(response) -> list:
    return json.loads(response.body)["outputs"][0]["data"]


async def test_what_arrives_together_runs_together(tmp_path) -> None:
    service = serving(toys.passing(), tmp_path)
    before = runs(service)
    asked = [infer("x", "FP32", [at % 2 + 1, 3], [at] * 3 * (at % 2 + 1)) for at in range(5)]
    answers = await asyncio.gather(*map(service.answer, asked))
    assert [data_of(each) for each in answers] == [[at] * 3 * (at % 2 + 1) for at in range(5)]
    assert runs(service) == before + 1
    assert service.load_now()["requests"] == 5


def infers(datatype, *rows: list, tail=(3,), **more) -> list[RawRequest]:
    """A request for each list of values, whose rows have this shape."""
    size = int(np.prod(tail, dtype=int))
    tensors = [
        {"name": "x", "datatype": datatype, "shape": [len(row) // max(size, 1), *tail], "data": row} for row in rows
    ]
    return [RawRequest(json.dumps({"inputs": [each], **more}).encode(), "id", "toy") for each in tensors]


def raw(values: list[float]) -> RawRequest:
    array = np.array([values], np.float32)
    tensor = {
        "name": "x",
        "datatype": "FP32",
        "shape": [*array.shape],
        "parameters": {"binary_data_size": array.nbytes},
    }
    head = json.dumps({"inputs": [tensor]}).encode()
    return RawRequest(head + array.tobytes(), "id", "toy", header_length=str(len(head)))


def two(*counts: int) -> list[RawRequest]:
    inputs = [
        [{"name": f"in_{kind}", "datatype": kind, "shape": [n], "data": [*range(n)]} for kind in ("INT64", "FP32")]
        for n in counts
    ]
    return [RawRequest(json.dumps({"inputs": each}).encode(), "id", "toy") for each in inputs]


TOGETHER = {
    "rows of several numbers": (toys.passing, infers("FP32", [0.1, 2, -3e-7], [1, 2, 3, 4, 5, 6], [7, 8, 9])),
    "rows of one number": (toys.linear, infers("FP32", [0.1] * 7, [5] * 14, tail=(7,))),
    "with an id": (toys.passing, [*infers("FP32", [1, 2, 3], id='a "b"'), *infers("FP32", [4, 5, 6])]),
    "no number": (toys.logarithm, infers("FP32", [-1], [0], [1], tail=(1,))),
    "no dimension but the first": (lambda: toys.passing("FP32", ["N"]), infers("FP32", [1], [2, 3.5], tail=())),
    "several dimensions": (
        lambda: toys.passing("FP32", ["N", 2, 2]),
        infers("FP32", [1, 2, 3, 4], [5] * 8, tail=(2, 2)),
    ),
    "large integers": (lambda: toys.passing("INT64"), infers("INT64", [2**53 + 1, 0, -(2**63)], [1, 2, 2**63 - 1])),
    "small integers": (lambda: toys.passing("UINT8"), infers("UINT8", [0, 255, 7], [1, 2, 3])),
    "halves": (lambda: toys.passing("FP16"), infers("FP16", [0.1, 65504, 6e-8], [1, 2, 3])),
    "several outputs": (toys.classifier, infers("FP32", [1, 2, 3], [6, 5, 4])),
    "several inputs": (lambda: toys.echo("INT64", "FP32", shape=("N",)), two(1, 3, 2)),
    "binary among them": (toys.passing, [*infers("FP32", [1, 2, 3]), raw([4, 5, 6]), *infers("FP32", [7, 8, 9])]),
    "nested among them": (toys.passing, [*infers("FP32", [1, 2, 3]), infer("x", "FP32", [1, 3], [[4, 5, 6]])]),
}


@pytest.mark.parametrize("case", TOGETHER)
async def test_answers_are_the_same_bytes_in_company(case, tmp_path) -> None:
    made, asked = TOGETHER[case]
    service = serving(made(), tmp_path)
    alone = [await service.answer(each) for each in asked]
    before = runs(service)
    assert await asyncio.gather(*map(service.answer, asked)) == alone
    assert runs(service) == before + 1


async def test_an_answer_waits_for_who_asks_later(tmp_path) -> None:
    service = serving(toys.passing(), tmp_path)
    begun = [service.begin(infer("x", "FP32", [1, 3], [at] * 3)) for at in range(2)]
    await asyncio.sleep(0.01)
    assert [data_of(await service.finish(each)) for each in begun] == [[0.0] * 3, [1.0] * 3]


async def test_no_more_rows_than_were_measured_share_a_run(tmp_path) -> None:
    service = serving(toys.passing(), tmp_path)
    before = runs(service)
    answers = await asyncio.gather(*(service.answer(infer("x", "FP32", [3, 3], [at] * 9)) for at in range(5)))
    assert [data_of(each) for each in answers] == [[at] * 9 for at in range(5)]
    assert runs(service) == before + 3


async def test_other_shapes_run_by_themselves(tmp_path) -> None:
    service = serving(toys.passing("FP32", ["N", "M"]), tmp_path)
    before = runs(service)
    answers = await asyncio.gather(
        *(service.answer(infer("x", "FP32", [1, at % 2 + 1], [at] * (at % 2 + 1))) for at in range(6))
    )
    assert [data_of(each) for each in answers] == [[at] * (at % 2 + 1) for at in range(6)]
    assert runs(service) == before + 2


async def test_one_bad_item_fails_alone(tmp_path) -> None:
    service = serving(toys.raising(), tmp_path)
    asked = [infer("index", "INT64", [1], [index]) for index in (0, 7, 2)]
    first, bad, last = await asyncio.gather(*map(service.answer, asked), return_exceptions=True)
    assert (data_of(first), data_of(last)) == ([10.0], [30.0])
    assert isinstance(bad, ModelError)


async def test_a_caller_that_leaves_harms_nobody(tmp_path) -> None:
    service = serving(toys.passing(), tmp_path)
    tasks = [asyncio.ensure_future(service.answer(infer("x", "FP32", [1, 3], [at] * 3))) for at in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert (data_of(answers[0]), data_of(answers[2])) == ([0.0] * 3, [2.0] * 3)
    assert isinstance(answers[1], asyncio.CancelledError)


async def test_rows_that_come_out_otherwise_than_they_went_in_run_alone(tmp_path) -> None:
    service = serving(toys.pooled(), tmp_path)
    answers = await asyncio.gather(*(service.answer(infer("x", "FP32", [2, 3], [at] * 6)) for at in range(3)))
    assert [data_of(each) for each in answers] == [[at] * 3 for at in range(3)]


async def test_a_request_whose_time_is_up_before_its_turn_never_runs(tmp_path) -> None:
    service = serving(toys.passing(), tmp_path, batching={"mode": "Always", "maxDelayMs": 30})
    before = runs(service)
    hasty = infer("x", "FP32", [1, 3], [1] * 3)._replace(timeout=0.005)
    late, other = await asyncio.gather(
        service.answer(hasty), service.answer(infer("x", "FP32", [1, 3], [2] * 3)), return_exceptions=True
    )
    assert isinstance(late, RequestTimeout)
    assert data_of(other) == [2.0] * 3
    assert runs(service) == before + 1
    assert service.metrics.dropped["timeout"] == 1


class Gate:
    """Holds the worker's thread before its first run until it is opened, so that others wait for the slot."""

    def __init__(self, service: Service) -> None:
        self.entered, self.opened = threading.Event(), threading.Event()
        self.run = service.current().model.run
        service.current().model.run = self.held

    def held(self, *given):
        self.entered.set()
        assert self.opened.wait(30)
        return self.run(*given)


@pytest.fixture
def one_thread():
    return {"engine": {"threads": 1}, "elements": 0}


async def crowded(service, asked) -> tuple[list[asyncio.Task], Gate]:
    """The first request has the slot and is held there, the others wait behind it."""
    gate = Gate(service)
    tasks = [asyncio.ensure_future(service.answer(each)) for each in asked]
    await asyncio.to_thread(gate.entered.wait, 30)
    await asyncio.sleep(0)
    return tasks, gate


async def test_who_waits_for_a_thread_goes_together(tmp_path, one_thread) -> None:
    service = serving(toys.passing(), tmp_path, **one_thread)
    before = runs(service)
    asked = [infer("x", "FP32", [at % 2 + 1, 3], [at] * 3 * (at % 2 + 1)) for at in range(6)]
    tasks, gate = await crowded(service, asked)
    assert service.load_now() == {"active": 1, "queued": 5, "capacity": 1, "requests": 6}
    gate.opened.set()
    answers = await asyncio.gather(*tasks)
    assert [data_of(each) for each in answers] == [[at] * 3 * (at % 2 + 1) for at in range(6)]
    assert runs(service) == before + 2
    assert service.load_now() == {"active": 0, "queued": 0, "capacity": 1, "requests": 6}
    service.workers.close()


async def test_in_threads_a_bad_item_fails_alone(tmp_path, one_thread) -> None:
    service = serving(toys.raising(), tmp_path, **one_thread)
    asked = [infer("index", "INT64", [1], [index]) for index in (0, 7, 2)]
    broken = RawRequest(b'{"inputs":[%s]}' % (b" " * 9000), "id", "toy")  # so large that a thread decodes it
    tasks, gate = await crowded(service, [*asked, broken])
    gate.opened.set()
    first, bad, last, wrong = await asyncio.gather(*tasks, return_exceptions=True)
    assert (data_of(first), data_of(last)) == ([10.0], [30.0])
    assert isinstance(bad, ModelError)
    assert isinstance(wrong, InvalidInput)
    service.workers.close()


async def test_in_threads_a_caller_that_leaves_harms_nobody_and_never_runs(tmp_path, one_thread) -> None:
    service = serving(toys.raising(), tmp_path, **one_thread)
    before = runs(service)
    tasks, gate = await crowded(service, [infer("index", "INT64", [1], [index]) for index in (0, 7, 2, 1)])
    tasks[1].cancel()  # it would have failed the common run
    hasty = asyncio.ensure_future(service.answer(infer("index", "INT64", [1], [7])._replace(timeout=0.02)))
    with pytest.raises(RequestTimeout):
        await hasty
    gate.opened.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [data_of(answers[at]) for at in (0, 2, 3)] == [[10.0], [30.0], [20.0]]
    assert isinstance(answers[1], asyncio.CancelledError)
    assert runs(service) == before + 2
    assert service.load_now()["active"] == 0
    service.workers.close()


async def test_who_leaves_during_a_common_run_is_not_waited_for(tmp_path, one_thread) -> None:
    service = serving(toys.passing(), tmp_path, **one_thread)
    [first, second], gate = await crowded(service, [infer("x", "FP32", [1, 3], [at] * 3) for at in range(2)])
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    gate.opened.set()
    assert data_of(await second) == [1.0] * 3
    service.workers.close()


async def test_a_delay_holds_the_slot_for_those_who_come_meanwhile(tmp_path, one_thread) -> None:
    settings = {"mode": "Always", "maxDelayMs": 200}
    service = serving(toys.passing(), tmp_path, batching=settings, **one_thread)
    before = runs(service)
    tasks = [asyncio.ensure_future(service.answer(infer("x", "FP32", [1, 3], [at] * 3))) for at in range(3)]
    await asyncio.sleep(0)
    tasks[0].cancel()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert [data_of(each) for each in answers[1:]] == [[1.0] * 3, [2.0] * 3]
    assert runs(service) == before + 1
    service.workers.close()


def test_the_inner_port_says_what_was_chosen_and_why(servers) -> None:
    server = servers.one("passing", toys.passing, maxRequestBytes=200_000)
    said = server.inner.get("/scheduling").json()
    assert set(said) == {"mode", "why", "inlineElements", "batchRows", "batchWhy", "measured", "slots", "threads"}
    line = server.line("decided where runs happen")
    assert (said["mode"], said["batchRows"], said["batchWhy"]) == (line["mode"], line["batchRows"], line["batchWhy"])
