"""Writes the model of both servers, models/thermometer/1/model.onnx: degrees Celsius in, degrees Fahrenheit out."""

from pathlib import Path

from onnx import TensorProto, helper

celsius = helper.make_tensor_value_info("celsius", TensorProto.FLOAT, ["N"])
fahrenheit = helper.make_tensor_value_info("fahrenheit", TensorProto.FLOAT, ["N"])
numbers = [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in (("a", 1.8), ("b", 32))]
nodes = [helper.make_node("Mul", ["celsius", "a"], ["ax"]), helper.make_node("Add", ["ax", "b"], ["fahrenheit"])]
graph = helper.make_graph(nodes, "celsius_to_fahrenheit", [celsius], [fahrenheit], numbers)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
(Path(__file__).parent / "models/thermometer/1/model.onnx").write_bytes(model.SerializeToString())
