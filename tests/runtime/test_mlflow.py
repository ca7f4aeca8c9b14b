"""Folders that MLflow wrote: the onnx flavour is served, others are named and sent to their own image."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

import toys
from wye_runtime.codecs import score
from wye_runtime.codecs.media import Media
from wye_runtime.codecs.scores import score_csv
from wye_runtime.engine.artifact import artifact_at
from wye_runtime.engine.mlmodel import columns_of, flavors_of
from wye_runtime.engine.model import load
from wye_runtime.errors import BadRequest, InvalidInput, ModelInvalid
from wye_runtime.settings import Engine, ModelSource

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


# --- the signature's columns -------------------------------------------------------------------------------------

IRIS = """flavors:
  onnx:
    data: model.onnx
saved_input_example_info: null
signature:
  inputs: '[{"type": "double", "name": "sepal length (cm)", "required": true}, {"type":
    "double", "name": "it''s width", "required": true}, {"type": "long", "name": "petals",
    "required": false}]'
  outputs: '[{"type": "tensor", "tensor-spec": {"dtype": "float32", "shape": [-1, 1]}}]'
  params: null
"""
COLUMNS = ("sepal length (cm)", "it's width", "petals")
TENSORS = IRIS.replace('"type": "double"', '"type": "tensor"').replace('"type": "long"', '"type": "tensor"')


@pytest.fixture
def signature(tmp_path: Path):
    """Of a model whose one input has three columns, and a package that says what they are called."""
    toys.saved(toys.linear(3), tmp_path / "model.onnx")
    (tmp_path / "MLmodel").write_text(IRIS)
    return load(artifact_at(ModelSource(str(tmp_path))), Engine("CPU", 1)).signature


def test_the_columns_of_a_signature_are_read() -> None:
    assert columns_of(IRIS) == COLUMNS
    assert [columns_of(text) for text in (WRITTEN["onnx"], TENSORS, "signature:\n  inputs: '[{'\n", "")] == [()] * 4
    assert columns_of("signature:\n  inputs: '5'\n") == ()


def test_a_long_signature_without_inputs_is_read_at_once() -> None:
    outputs = '    {"type": "double", "name": "score"},\n' * 40
    assert columns_of(f"signature:\n  inputs: null\n  outputs: '[\n{outputs}    ]'\n") == ()


def test_columns_that_do_not_fit_the_model_are_not_taken(tmp_path: Path) -> None:
    at = folder(tmp_path, IRIS)
    assert load(artifact_at(ModelSource(str(at))), Engine("CPU", 1)).signature.columns == ()


BODIES = {
    "a frame in another order": {"input_data": {"columns": ["petals", *COLUMNS[:2]], "data": [[3, 1, 2], [6, 4, 5]]}},
    "rows as they are": {"input_data": [[1, 2, 3], [4, 5, 6]]},
    "records": {"instances": [dict(zip(COLUMNS, row, strict=True)) for row in ((1, 2, 3), (4, 5, 6))]},
    "the input's own name": {"instances": [{"x": [1, 2, 3]}, {"x": [4, 5, 6]}]},
}


@pytest.mark.parametrize("case", BODIES)
def test_columns_go_where_the_signature_has_them(signature, case: str) -> None:
    (feeds,) = score(signature, BODIES[case]).batches
    assert feeds["x"].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_header_of_csv_says_the_order(signature) -> None:
    lines = b"petals,it's width,sepal length (cm)\r\n3,2,1\r\n6,5,4\r\n"
    (feeds,) = score_csv(signature, lines, Media("text/csv", {})).batches
    assert feeds["x"].tolist() == [[1, 2, 3], [4, 5, 6]]
    (feeds,) = score_csv(signature, b"1,2,3\r\n", Media("text/csv", {})).batches
    assert feeds["x"].tolist() == [[1, 2, 3]]


def test_a_line_of_strings_is_a_header_when_all_of_it_are_columns(signature) -> None:
    """One cell used to be enough, and `header=absent` was no help: the line was lost, or called wrong."""
    of_strings = replace(signature, inputs=(replace(signature.inputs[0], datatype="BYTES"),))

    def read(first: str, **said: str):
        return score_csv(of_strings, f"{first}\n1,2,3\n".encode(), Media("text/csv", said)).batches[0]["x"].tolist()

    swapped = "petals,it's width,sepal length (cm)"
    assert read(swapped) == [["3", "2", "1"]]
    assert read(swapped, header="absent") == [swapped.split(","), ["1", "2", "3"]]
    assert read("petals,b,c", header="absent") == [["petals", "b", "c"], ["1", "2", "3"]]
    assert read("a,b,c") == [["a", "b", "c"], ["1", "2", "3"]]
    with pytest.raises(BadRequest, match=r"names some columns \(petals\) and has other cells besides: .*header=absent"):
        read("petals,b,c")
    with pytest.raises(InvalidInput, match="nothing takes"):
        read("petals,b,c", header="present")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"input_data": {"columns": ["petals", "size", "it's width"], "data": [[1, 2, 3]]}}, "size.*nothing takes"),
        ({"input_data": {"columns": [COLUMNS[0], COLUMNS[2]], "data": [[1, 2]]}}, "it's width.*missing among"),
        ({"instances": [{"petals": 1, COLUMNS[0]: 2}]}, "it's width.*is missing"),
    ],
)
def test_columns_that_the_signature_does_not_have_are_named(signature, body, said) -> None:
    with pytest.raises(InvalidInput) as refusal:
        score(signature, body)
    assert re.search(said, str(refusal.value.details))
