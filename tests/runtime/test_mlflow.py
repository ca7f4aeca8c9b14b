"""Folders that MLflow wrote: the onnx flavour is served, others are named and sent to their own image."""

from __future__ import annotations

from pathlib import Path

import pytest

import toys
from wye_runtime.errors import ModelInvalid
from wye_runtime.mlmodel import flavors_of
from wye_runtime.model import artifact_at
from wye_runtime.settings import ModelSource

BELOW = ("data: model.onnx", "data: 'data/fraud.onnx'")
NESTED = "a: b\nflavors:\n  sklearn:\n    env:\n      data: x\n    data: y\n  onnx:\n  - data\nsignature:\n  onnx: z\n"
PYFUNC = r"without the onnx flavour \(it has python_function\).*environment"
WRITTEN = {name: (Path(__file__).parent / f"mlflow/{name}.MLmodel").read_text() for name in ("onnx", "pyfunc")}


def folder(at: Path, text: str, data: str = "model.onnx") -> Path:
    """As MLflow leaves it, with another ONNX file that is not the model."""
    for name in (data, "extra/other.onnx", "second.onnx"):
        (at / name).parent.mkdir(parents=True, exist_ok=True)
        toys.saved(toys.linear(), at / name)
    (at / "MLmodel").write_text(text)
    return at


@pytest.mark.parametrize(
    ("text", "data"),
    [
        pytest.param(WRITTEN["onnx"], "model.onnx", id="as MLflow wrote it"),
        pytest.param(WRITTEN["onnx"].replace(*BELOW), "data/fraud.onnx", id="below"),
        pytest.param("flavors:\n    onnx:\n        data: m.onnx\n        env: {a: b}\n", "m.onnx", id="deeper"),
    ],
)
def test_the_onnx_flavour_says_which_file_is_the_model(tmp_path: Path, text: str, data: str) -> None:
    at = folder(tmp_path, text, data)
    assert artifact_at(ModelSource(name="fraud", path=str(at))).file == at / data


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param(
            WRITTEN["pyfunc"], r"without the onnx flavour \(it has python_function\).*environment", id="pyfunc"
        ),
        pytest.param("flavors: {}\n", r"\(it has none\)", id="no flavour"),
        pytest.param("", r"\(it has none\)", id="an empty file"),
        pytest.param("flavors:\n  onnx:\n    data: gone.onnx\n", "data in gone.onnx, which is not there", id="no file"),
        pytest.param("flavors:\n  onnx:\n    data: ../m/model.onnx\n", "which is not there", id="outside"),
        pytest.param("flavors:\n  onnx: null\n", "which is not there", id="no data"),
    ],
)
def test_what_cannot_be_served_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ModelInvalid, match=said):
        artifact_at(ModelSource(name="fraud", path=str(folder(tmp_path / "m", text))))


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    at = folder(tmp_path, "")
    (at / "MLmodel").write_bytes(b"\xff\xfe")
    with pytest.raises(ModelInvalid, match="no text"):
        artifact_at(ModelSource(name="fraud", path=str(at)))


def test_only_the_first_level_of_a_flavour_counts() -> None:
    text = (
        "a: b\nflavors:\n  sklearn:\n    env:\n      data: x\n    data: y\n  onnx:\n  - data\nsignature:\n  onnx: z\n"
    )
    assert flavors_of(text) == {"sklearn": {"env": "", "data": "y"}, "onnx": {}}
