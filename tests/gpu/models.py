"""Models of the sizes that people put on a GPU, with random weights: table, wide MLP, convolutions, encoder."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, helper

from toys import constant, model, tensor

RANDOM = np.random.default_rng(7)


def weights(name: str, *shape: int):
    scale = np.sqrt(2 / np.prod(shape[1:])) if len(shape) > 2 else np.sqrt(2 / shape[0])
    return constant(name, RANDOM.normal(0, scale, shape).astype(np.float32))


def mlp(*widths: int) -> ModelProto:
    """x [N, first] -> y [N, last]."""
    nodes, constants, value = [], [], "x"
    for number, (taken, given) in enumerate(zip(widths, widths[1:], strict=False)):
        constants += [weights(f"w{number}", taken, given), constant(f"b{number}", np.zeros(given, np.float32))]
        last = number == len(widths) - 2
        nodes.append(helper.make_node("Gemm", [value, f"w{number}", f"b{number}"], ["y" if last else f"g{number}"]))
        if not last:
            nodes.append(helper.make_node("Relu", [f"g{number}"], [f"h{number}"]))
        value = f"h{number}"
    return model(nodes, [tensor("x", "FP32", ["N", widths[0]])], [tensor("y", "FP32", ["N", widths[-1]])], constants)


def convolutions(depth: int = 12, channels: int = 64, size: int = 112) -> ModelProto:
    """x [N, 3, size, size] -> y [N, 10]: 3x3 convolutions in one resolution, then the mean of each channel."""
    nodes, constants, value = [], [], "x"
    for number in range(depth):
        constants.append(weights(f"k{number}", channels, channels if number else 3, 3, 3))
        nodes.append(helper.make_node("Conv", [value, f"k{number}"], [f"c{number}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"c{number}"], [f"r{number}"]))
        value = f"r{number}"
    constants.append(weights("w", channels, 10))
    nodes += [
        helper.make_node("GlobalAveragePool", [value], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["y"]),
    ]
    return model(nodes, [tensor("x", "FP32", ["N", 3, size, size])], [tensor("y", "FP32", ["N", 10])], constants)


def encoder(layers: int = 6, width: int = 384, length: int = 128) -> ModelProto:
    """x [N, length, width] -> y [N, length, width]: attention by one head and a feed-forward part, in each layer."""
    nodes, constants, value = [], [constant("scale", np.float32(1 / np.sqrt(width)))], "x"
    for number in range(layers):
        last = number == layers - 1
        nodes += _layer(f"l{number}", value, "y" if last else f"l{number}")
        for part, shape in (("q", (width, width)), ("k", (width, width)), ("v", (width, width))):
            constants.append(weights(f"l{number}w{part}", *shape))
        constants += [weights(f"l{number}up", width, 4 * width), weights(f"l{number}down", 4 * width, width)]
        constants += [constant(f"l{number}one", np.ones(width, np.float32))]
        value = f"l{number}"
    shape = ["N", length, width]
    return model(nodes, [tensor("x", "FP32", shape)], [tensor("y", "FP32", shape)], constants)


def _layer(name: str, value: str, result: str):
    def node(kind: str, taken: list[str], given: str, **more):
        return helper.make_node(kind, taken, [given], **more)

    yield from (node("MatMul", [value, f"{name}w{part}"], f"{name}{part}") for part in "qkv")
    yield node("Transpose", [f"{name}k"], f"{name}t", perm=[0, 2, 1])
    yield node("MatMul", [f"{name}q", f"{name}t"], f"{name}s")
    yield node("Mul", [f"{name}s", "scale"], f"{name}m")
    yield node("Softmax", [f"{name}m"], f"{name}p", axis=-1)
    yield node("MatMul", [f"{name}p", f"{name}v"], f"{name}a")
    yield node("Add", [f"{name}a", value], f"{name}r")
    yield node("LayerNormalization", [f"{name}r", f"{name}one"], f"{name}n", axis=-1)
    yield node("MatMul", [f"{name}n", f"{name}up"], f"{name}u")
    yield node("Relu", [f"{name}u"], f"{name}g")
    yield node("MatMul", [f"{name}g", f"{name}down"], f"{name}d")
    yield node("Add", [f"{name}d", f"{name}n"], result)


# name -> (model, batch sizes)
SUBJECTS = {
    "table (7-64-64-1)": (lambda: mlp(7, 64, 64, 1), (1, 256, 16384)),
    "MLP (1024-8192-8192-64)": (lambda: mlp(1024, 8192, 8192, 64), (1, 64)),
    "convolutions (12 of 64, 112x112)": (convolutions, (1, 16)),
    "encoder (6 of 384, 128 tokens)": (encoder, (1, 32)),
}

# of the same parts, for a run that is dry
MINIATURES = {
    "table (7-4-1)": (lambda: mlp(7, 4, 1), (1, 16)),
    "convolutions (2 of 4, 8x8)": (lambda: convolutions(2, 4, 8), (1,)),
    "encoder (2 of 8, 4 tokens)": (lambda: encoder(2, 8, 4), (2,)),
}
