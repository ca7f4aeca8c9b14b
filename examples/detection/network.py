"""The detector as one graph: a picture's bytes in, what is in it out.

    image ─> DecodeImage ─> Resize, edges ─┬─> convolutions: which kind ────> softmax ──┐
                                           └─> convolutions: where exactly ──> boxes ───┴─> NonMaxSuppression ─>

As in YOLO each cell of a grid says how likely each kind of thing has its centre there, and where its edges are. Both
heads were trained on windows of a picture (train.py); as convolutions they look at all windows at once.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

SIDE = 160  # a picture is resized to so many pixels each way
WINDOW, STRIDE = 20, 2  # of what a cell sees, after the average over 2 x 2
CELLS = SIDE // 2 // STRIDE + 1  # a row of them; the first one's centre is the picture's edge
CERTAIN, OVERLAP, MOST = 0.9, 0.3, 50
EXTENSIONS = "com.microsoft.extensions"
Layers = list[tuple[np.ndarray, np.ndarray]]  # weights [in, out] and biases


class Graph:
    """Nodes and constants, as they come."""

    def __init__(self) -> None:
        self.nodes: list = []
        self.constants: list = []

    def add(self, kind: str, *inputs: str | np.ndarray, named: str = "", domain: str = "", **more: object) -> str:
        """A node with one output, whose name is given back."""
        named = named or f"{kind}_{len(self.nodes)}"
        names = [each if isinstance(each, str) else self.constant(each) for each in inputs]
        self.nodes.append(helper.make_node(kind, names, [named], domain=domain, **more))
        return named

    def constant(self, value: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def model(self, inputs: list, outputs: list) -> ModelProto:
        graph = helper.make_graph(self.nodes, "detector", inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid(EXTENSIONS, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def whole(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def prepared(graph: Graph, pixels: str, named: str = "") -> str:
    """Pixels [H, W, 3] of any size into the edges that windows are cut from, whatever the colours: [1, 1, 100, 100]."""
    floats = graph.add("Div", graph.add("Cast", pixels, to=TensorProto.FLOAT), np.array(255, np.float32))
    planes = graph.add("Unsqueeze", graph.add("Transpose", floats, perm=[2, 0, 1]), whole(0))
    sized = graph.add("Resize", planes, "", "", whole(1, 3, SIDE, SIDE), mode="linear", antialias=1)
    small = graph.add("AveragePool", sized, kernel_shape=[2, 2], strides=[2, 2])
    wider = graph.add("Pad", small, whole(0, 0, 1, 1, 0, 0, 1, 1), mode="edge")
    across = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
    slopes = graph.add("Conv", wider, np.tile(np.stack([across, across.T])[:, None], (3, 1, 1, 1)), group=3)
    edges = graph.add("Conv", graph.add("Abs", slopes), np.full((1, 6, 1, 1), 0.5, np.float32))
    clipped = graph.add("Clip", edges, np.array(0, np.float32), np.array(1, np.float32))
    edge = WINDOW // 2
    return graph.add("Pad", clipped, whole(0, 0, edge, edge, 0, 0, edge, edge), named=named)


def preparation() -> ModelProto:
    """Only that, so that training sees just what the model will."""
    graph = Graph()
    prepared(graph, "pixels", "ready")
    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["height", "width", 3])
    return graph.model([pixels], [helper.make_tensor_value_info("ready", TensorProto.FLOAT, [1, 1, None, None])])


def head(graph: Graph, ready: str, layers: Layers) -> str:
    """A network on windows as convolutions: [1, outputs, cells]."""
    value = ready
    for at, (weights, bias) in enumerate(layers):
        size = WINDOW if at == 0 else 1
        kernel = weights.T.reshape(len(bias), -1, size, size).astype(np.float32)
        strides = [STRIDE, STRIDE] if at == 0 else [1, 1]
        value = graph.add("Conv", value, kernel, bias.astype(np.float32), strides=strides)
        if at < len(layers) - 1:
            value = graph.add("Relu", value)
    return graph.add("Reshape", value, whole(1, len(layers[-1][1]), CELLS * CELLS))


@cache
def centres() -> np.ndarray:
    """Where the cells' centres are, as shares of the picture: [cells, 2], down and across."""
    steps = np.arange(CELLS, dtype=np.float32) * (2 * STRIDE / SIDE)
    return np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)


def detector(kinds: Layers, edges: Layers) -> ModelProto:
    """The whole model: image -> boxes [n, 4], classes [n], confidence [n]."""
    graph = Graph()
    pixels = graph.add("DecodeImage", "image", domain=EXTENSIONS)
    ready = prepared(graph, pixels)
    likely = graph.add("Softmax", head(graph, ready, kinds), axis=1)
    scores = graph.add("Slice", likely, whole(1), whole(len(kinds[-1][1])), whole(1))  # 0 is "nothing"
    offsets = graph.add("Transpose", head(graph, ready, edges), perm=[0, 2, 1])
    twice = np.tile(centres(), 2)[None]  # top, left, bottom, right
    boxes = graph.add("Clip", graph.add("Add", offsets, twice), np.array(0, np.float32), np.array(1, np.float32))
    limits = (whole(MOST), np.array(OVERLAP, np.float32), np.array(CERTAIN, np.float32))
    best = graph.add("ReduceMax", scores, whole(1), keepdims=1)  # a place holds one thing, of whichever kind
    found = graph.add("NonMaxSuppression", boxes, best, *limits)  # [n, 3]: picture, 0, cell
    cell = graph.add("Squeeze", graph.add("Slice", found, whole(2), whole(3), whole(1)), whole(1))
    graph.add("Gather", graph.add("Reshape", best, whole(-1)), cell, named="confidence")
    kind = graph.add("Reshape", graph.add("ArgMax", scores, axis=1), whole(-1))
    graph.add("Gather", kind, cell, named="classes")
    in_pixels(graph, pixels, graph.add("Gather", graph.add("Squeeze", boxes, whole(0)), cell))
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["bytes"])
    outputs = [
        helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["found", 4]),
        helper.make_tensor_value_info("classes", TensorProto.INT64, ["found"]),
        helper.make_tensor_value_info("confidence", TensorProto.FLOAT, ["found"]),
    ]
    return graph.model([image], outputs)


def in_pixels(graph: Graph, pixels: str, boxes: str) -> None:
    """Boxes in the picture's own pixels: left, top, right, bottom."""
    turned = graph.add("Gather", boxes, whole(1, 0, 3, 2), axis=1)
    size = graph.add("Gather", graph.add("Shape", pixels), whole(1, 0, 1, 0))  # width, height, twice
    graph.add("Mul", turned, graph.add("Cast", size, to=TensorProto.FLOAT), named="boxes")
