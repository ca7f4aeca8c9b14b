"""Toy models for the runtime's tests: each a few nodes, and each wrong or right in one way only."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

ELEMENTS = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BF16": TensorProto.BFLOAT16,
    "BYTES": TensorProto.STRING,
}
Shape = Sequence[int | str | None]


def tensor(name, datatype, shape: Shape):
    return helper.make_tensor_value_info(name, ELEMENTS[datatype], list(shape))


def model(nodes, inputs, outputs, constants=(), opset=17) -> ModelProto:
    graph = helper.make_graph(nodes, "toy", inputs, outputs, list(constants))
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def constant(name, value):
    return numpy_helper.from_array(np.array(value), name)


def saved(made: ModelProto, path: Path) -> Path:
    path.write_bytes(made.SerializeToString())
    return path


def echo(*datatypes: str, shape: Shape = (None,)) -> ModelProto:
    """Gives every input back: in_FP32 as out_FP32, and so on."""
    nodes = [helper.make_node("Identity", [f"in_{each}"], [f"out_{each}"]) for each in datatypes]
    inputs = [tensor(f"in_{each}", each, shape) for each in datatypes]
    return model(nodes, inputs, [tensor(f"out_{each}", each, shape) for each in datatypes])


def linear(width=7, batch: int | str = "N") -> ModelProto:
    """x [N, width] -> probability [N, 1]: the sigmoid of a hundredth of the sum."""
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["probability"]),
    ]
    weights = constant("W", np.full((width, 1), 0.01, np.float32))
    return model(nodes, [tensor("x", "FP32", [batch, width])], [tensor("probability", "FP32", [batch, 1])], [weights])


def passing(datatype="FP32", shape: Shape = ("N", 3)) -> ModelProto:
    """x -> y, the same."""
    node = helper.make_node("Identity", ["x"], ["y"])
    return model([node], [tensor("x", datatype, shape)], [tensor("y", datatype, shape)])


def columns() -> ModelProto:
    """amount [N, 1], note [N, 1] of strings, count [N] -> total [N, 1], text [N, 1]."""
    nodes = [
        helper.make_node("Unsqueeze", ["count", "one"], ["counted"]),
        helper.make_node("Cast", ["counted"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["amount", "floats"], ["total"]),
        helper.make_node("Identity", ["note"], ["text"]),
    ]
    inputs = [tensor("amount", "FP32", ["N", 1]), tensor("note", "BYTES", ["N", 1]), tensor("count", "INT64", ["N"])]
    outputs = [tensor("total", "FP32", ["N", 1]), tensor("text", "BYTES", ["N", 1])]
    return model(nodes, inputs, outputs, [constant("one", np.array([1], np.int64))])


def classifier() -> ModelProto:
    """x [N, 3] -> scores [N, 3], the same, and label [N], the index of the highest."""
    nodes = [
        helper.make_node("Identity", ["x"], ["scores"]),
        helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
    ]
    outputs = [tensor("scores", "FP32", ["N", 3]), tensor("label", "INT64", ["N"])]
    return model(nodes, [tensor("x", "FP32", ["N", 3])], outputs)


def quantised() -> ModelProto:
    """x [N, 3] -> y, nearly the same: on a scale of 256 steps that all rows of a run share."""
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["steps", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["steps", "scale", "zero"], ["y"]),
    ]
    return model(nodes, [tensor("x", "FP32", ["N", 3])], [tensor("y", "FP32", ["N", 3])])


def summing() -> ModelProto:
    """x [T, 3] -> y: the sum so far; its first dimension is time."""
    node = helper.make_node("CumSum", ["x", "zero"], ["y"])
    zero = constant("zero", np.array(0, np.int64))
    return model([node], [tensor("x", "FP32", ["T", 3])], [tensor("y", "FP32", ["T", 3])], [zero])


def wide(width=500_000) -> ModelProto:
    """x [N, 3] -> y [N, 1]: the largest of so many numbers, 2 MB for each row while it runs."""
    nodes = [
        helper.make_node("MatMul", ["x", "W"], ["many"]),
        helper.make_node("ReduceMax", ["many"], ["y"], axes=[1], keepdims=1),
    ]
    weights = constant("W", np.ones((3, width), np.float32))
    return model(nodes, [tensor("x", "FP32", ["N", 3])], [tensor("y", "FP32", ["N", 1])], [weights])


def pooled() -> ModelProto:
    """x [N, 3] -> y [M, 3]: one row, the mean of all."""
    node = helper.make_node("ReduceMean", ["x"], ["y"], axes=[0], keepdims=1)
    return model([node], [tensor("x", "FP32", ["N", 3])], [tensor("y", "FP32", ["M", 3])])


def doubled() -> ModelProto:
    """A scalar x -> y = 2 x."""
    node = helper.make_node("Mul", ["x", "two"], ["y"])
    return model([node], [tensor("x", "FP32", [])], [tensor("y", "FP32", [])], [constant("two", np.float32(2))])


def logarithm() -> ModelProto:
    """x [N, 1] -> y = log x: NaN below zero, minus infinity at zero."""
    node = helper.make_node("Log", ["x"], ["y"])
    return model([node], [tensor("x", "FP32", ["N", 1])], [tensor("y", "FP32", ["N", 1])])


def raising() -> ModelProto:
    """index [N] -> y: fails where an index is above 2."""
    node = helper.make_node("Gather", ["three", "index"], ["y"])
    values = constant("three", np.array([10, 20, 30], np.float32))
    return model([node], [tensor("index", "INT64", ["N"])], [tensor("y", "FP32", ["N"])], [values])


def sized() -> ModelProto:
    """A scalar count -> y: as many zeros, so that its time depends on a value."""
    nodes = [
        helper.make_node("Unsqueeze", ["count", "zero"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["y"]),
    ]
    zero = constant("zero", np.array([0], np.int64))
    return model(nodes, [tensor("count", "INT64", [])], [tensor("y", "FP32", [None])], [zero])


def slow() -> ModelProto:
    """A scalar trips -> y: multiplies small matrices that often (tens of microseconds each)."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["going"], ["goes_on"]),
            helper.make_node("MatMul", ["matrix", "W"], ["product"]),
        ],
        "body",
        [tensor("trip", "INT64", []), tensor("going", "BOOL", []), tensor("matrix", "FP32", [64, 64])],
        [tensor("goes_on", "BOOL", []), tensor("product", "FP32", [64, 64])],
    )
    nodes = [
        helper.make_node("Loop", ["trips", "", "W"], ["last"], body=body),
        helper.make_node("ReduceMax", ["last"], ["y"], keepdims=0),
    ]
    weights = constant("W", np.eye(64, dtype=np.float32))
    return model(nodes, [tensor("trips", "INT64", [])], [tensor("y", "FP32", [])], [weights])


def squared() -> ModelProto:
    """A scalar size -> y = size: the highest of the product of two such matrices of ones.

    Its time depends on a value, and nothing of that shows: it has no control flow and takes no integers.
    """
    nodes = [
        helper.make_node("Cast", ["size"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Unsqueeze", ["whole", "zero"], ["side"]),
        helper.make_node("Concat", ["side", "side"], ["shape"], axis=0),
        helper.make_node("Expand", ["one", "shape"], ["matrix"]),
        helper.make_node("MatMul", ["matrix", "matrix"], ["product"]),
        helper.make_node("ReduceMax", ["product"], ["y"], keepdims=0),
    ]
    constants = [constant("zero", np.array([0], np.int64)), constant("one", np.float32(1))]
    return model(nodes, [tensor("size", "FP32", [])], [tensor("y", "FP32", [])], constants)


def zipmap() -> ModelProto:
    """What skl2onnx gives without zipmap=False: a sequence of maps."""
    node = helper.make_node("ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_int64s=[0, 1, 2])
    entry = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, None))
    output = helper.make_value_info("y", helper.make_sequence_type_proto(entry))
    return model([node], [tensor("x", "FP32", ["N", 3])], [output])


def lower_case(locale="xx_XX.UTF-8") -> ModelProto:
    """x [N] of strings -> y, in the small letters of a language that no machine has."""
    node = helper.make_node("StringNormalizer", ["x"], ["y"], case_change_action="LOWER", locale=locale)
    return model([node], [tensor("x", "BYTES", ["N"])], [tensor("y", "BYTES", ["N"])])


def float8() -> ModelProto:
    """A type that ONNX has and the protocol has not."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT8E4M3FN, ["N"]) for name in ("x", "y")]
    node = helper.make_node("Identity", ["x"], ["y"])
    made = model([node], [value[0]], [value[1]], opset=19)
    made.ir_version = 9
    return made


def newer(made: ModelProto, *, opset=0, ir=0) -> ModelProto:
    """The same model from the future."""
    if opset:
        made.opset_import[0].version = opset
    if ir:
        made.ir_version = ir
    return made


CONTRIB, EXTENSIONS = "ai.onnx.contrib", "com.microsoft.extensions"


def extended(nodes, inputs, outputs, constants=()) -> ModelProto:
    """A model with operators of onnxruntime-extensions."""
    made = model(nodes, inputs, outputs, constants)
    made.opset_import.extend(helper.make_opsetid(domain, 1) for domain in (CONTRIB, EXTENSIONS))
    return made


def mean_colour(read="image") -> ModelProto:
    """image, the bytes of one -> colour [1, 3], its mean blue, green and red, and rows [n, 3], that of each row."""
    nodes = [
        *([helper.make_node("Identity", ["image"], [read])] if read != "image" else []),
        helper.make_node("DecodeImage", [read], ["pixels"], domain=EXTENSIONS),
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["floats"], ["rows"], axes=[1], keepdims=0),
        helper.make_node("ReduceMean", ["rows"], ["colour"], axes=[0], keepdims=1),
    ]
    outputs = [tensor("colour", "FP32", [1, 3]), tensor("rows", "FP32", ["n", 3])]
    return extended(nodes, [tensor("image", "UINT8", ["bytes"])], outputs)


VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "hello", "wor", "##ld", "##s")


def words(shape: Shape = (1,)) -> ModelProto:
    """text [1] -> ids [n], its words by their places in a vocabulary, and count [1]."""
    names = ["ids", "types", "mask"]
    nodes = [
        helper.make_node("BertTokenizer", ["text"], names, domain=CONTRIB, vocab_file="\n".join(VOCABULARY)),
        helper.make_node("ReduceSum", ["mask"], ["count"], keepdims=1),
    ]
    outputs = [tensor("ids", "INT64", ["n"]), tensor("count", "INT64", [1])]
    return extended(nodes, [tensor("text", "BYTES", shape)], outputs)


def unknown_operator() -> ModelProto:
    """One that onnxruntime-extensions does not have."""
    node = helper.make_node("ReadMinds", ["x"], ["y"], domain=CONTRIB)
    return extended([node], [tensor("x", "FP32", ["N"])], [tensor("y", "FP32", ["N"])])
