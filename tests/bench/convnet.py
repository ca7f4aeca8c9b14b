"""A network of MobileNetV2's form with random weights: what an image model costs, without downloading one."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

# (expansion, channels, repeats, first stride), from the paper's table 2
BLOCKS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
STEM, LAST, CLASSES = 32, 1280, 1000
SEED = 3


class Net:
    """Nodes and weights so far, and the name of the last tensor."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights = [numpy_helper.from_array(np.array(most, np.float32), f"clip{most}") for most in (0, 6)]
        self.random = np.random.default_rng(SEED)
        self.last, self.channels = "image", 3

    def add(self, kind: str, *inputs: str, **attributes: object) -> str:
        self.last = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [self.last], **attributes))
        return self.last

    def weight(self, *shape: int) -> str:
        """Scaled so that values neither vanish nor explode on their way."""
        name = f"w{len(self.weights)}"
        scale = np.sqrt(2 / np.prod(shape[1:]))
        value = (self.random.normal(size=shape) * scale).astype(np.float32)
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def conv(self, channels: int, kernel: int = 1, stride: int = 1, *, deep: bool = False, clipped: bool = True) -> str:
        group = self.channels if deep else 1
        weights = self.weight(channels, self.channels // group, kernel, kernel)
        pads = [kernel // 2] * 4
        self.add("Conv", self.last, weights, kernel_shape=[kernel] * 2, strides=[stride] * 2, pads=pads, group=group)
        self.channels = channels
        return self.add("Clip", self.last, "clip0", "clip6") if clipped else self.last

    def block(self, expansion: int, channels: int, stride: int) -> None:
        before, had = self.last, self.channels
        if expansion > 1:
            self.conv(had * expansion)
        self.conv(self.channels, 3, stride, deep=True)
        self.conv(channels, clipped=False)
        if stride == 1 and had == channels:
            self.add("Add", before, self.last)


def convnet() -> ModelProto:
    """image [N, 3, 224, 224] -> scores [N, 1000]."""
    net = Net()
    net.conv(STEM, 3, 2)
    for expansion, channels, repeats, stride in BLOCKS:
        for at in range(repeats):
            net.block(expansion, channels, stride if at == 0 else 1)
    net.conv(LAST)
    net.add("GlobalAveragePool", net.last)
    net.add("Flatten", net.last)
    net.nodes.append(helper.make_node("MatMul", [net.last, net.weight(LAST, CLASSES)], ["scores"]))
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, 224, 224])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["N", CLASSES])
    graph = helper.make_graph(net.nodes, "convnet", [image], [scores], net.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
