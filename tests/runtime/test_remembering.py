"""What was measured is kept for the next start on the same hardware; whatever is wrong with a file is ignored."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

import toys
from wye_runtime import settings
from wye_runtime.metrics import Metrics
from wye_runtime.service.company import Batching
from wye_runtime.service.loading import loaded
from wye_runtime.service.measuring import Placement
from wye_runtime.service.remembering import Findings, remembered

FOUND = Findings(Placement(224, "a run takes 5 us"), Batching(32, "32 rows a run are 20.0 times the rows a second"))
KEY = {"model": "abc", "hardware": ["a processor", 2]}


def kept(folder: Path, key=KEY, found=FOUND) -> Findings:
    return remembered(folder, key, lambda: found)


def never() -> Findings:
    raise AssertionError("it was measured again")


def test_what_was_measured_is_not_measured_again(tmp_path) -> None:
    folder = tmp_path / "made" / "here"
    assert kept(folder) == FOUND
    again = remembered(folder, KEY, never)
    assert (again.place, again.batching, again.is_remembered) == (FOUND.place, FOUND.batching, True)
    assert len(list(folder.iterdir())) == 1


def test_other_hardware_and_other_models_are_measured_by_themselves(tmp_path) -> None:
    kept(tmp_path)
    other = Findings(Placement(0, "slow"), Batching(1, "alone"))
    assert kept(tmp_path, {**KEY, "hardware": ["another processor", 2]}, other) == other
    assert kept(tmp_path, {**KEY, "model": "def"}, other) == other
    assert len(list(tmp_path.iterdir())) == 3


def changed(**more) -> bytes:
    body = {"key": KEY, "elements": 1, "why": "", "rows": 1, "batchWhy": ""}
    return json.dumps({**body, **more}).encode()


WRONG = {
    "empty": b"",
    "no JSON": b"\x00\xff{",
    "no object": b"[]",
    "a half": changed()[:-20],
    "endless": b'"' + b"x" * 100_000 + b'"',
    "another model's": changed(key={**KEY, "model": "def"}),
    "a field too few": b'{"key":' + json.dumps(KEY).encode() + b"}",
    "no rows": changed(rows=0),
    "half an element": changed(elements=1.5),
    "a number for a sentence": changed(why=7),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_is_wrong_is_ignored_with_a_word(tmp_path, caplog, case) -> None:
    kept(tmp_path)
    [file] = tmp_path.iterdir()
    file.write_bytes(WRONG[case])
    with caplog.at_level(logging.WARNING, "wye"):
        assert kept(tmp_path) == FOUND
    assert [(line.message, line.file) for line in caplog.records] == [("measurement ignored", str(file))]
    assert remembered(tmp_path, KEY, never).place == FOUND.place


def test_a_folder_that_cannot_be_written_is_no_obstacle(tmp_path, caplog) -> None:
    (tmp_path / "file").write_text("in the way")
    with caplog.at_level(logging.WARNING, "wye"):
        assert kept(tmp_path / "file") == FOUND
    assert caplog.records[-1].message == "measurement not kept"


def test_a_model_starts_with_what_an_earlier_start_found(tmp_path) -> None:
    path = toys.saved(toys.linear(), tmp_path / "toy.onnx")
    config = settings.parse_config({"model": {"name": "toy", "path": str(path)}, "engine": {"threads": 1}})
    cache = tmp_path / "cache"
    first, second = (loaded(config, Metrics(), cache).findings for _ in range(2))
    assert not first.is_remembered
    assert second == Findings(first.place, first.batching, is_remembered=True)
    other = settings.parse_config({"model": {"path": str(path)}, "engine": {"threads": 2}})
    assert not loaded(other, Metrics(), cache).findings.is_remembered


def test_a_server_says_whether_it_measured(servers, tmp_path, wait_until) -> None:
    environment = {"WYE_CACHE": str(tmp_path / "cache")}
    made = servers.path(toys.passing())
    said = []
    for _ in range(2):
        server = servers.start(made, environment).ready()
        said.append(server.inner.get("/scheduling").json()["measured"])
        server.stop()
    assert said == ["now", "before"]
