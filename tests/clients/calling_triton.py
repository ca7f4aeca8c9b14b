"""A caller with tritonclient: `calling_triton.py HOST KEY COUNT CELSIUS` prints who answered how often, and what.

Runs in an environment with tritonclient, and knows nothing of Wye but its header.
"""

import json
import sys
from collections import Counter

import grpc
import numpy as np
import tritonclient.http as by_http
from tritonclient.grpc import service_pb2, service_pb2_grpc

MODEL, SERVED_BY = "thermometer", "azureml-model-deployment"


def rest(host: str, headers: dict[str, str], celsius: np.ndarray) -> tuple[str, list[float]]:
    client = by_http.InferenceServerClient(host)
    tensor = by_http.InferInput("celsius", list(celsius.shape), "FP32")
    tensor.set_data_from_numpy(celsius)
    answer = client.infer(MODEL, [tensor], headers=dict(headers))
    return "", answer.as_numpy("fahrenheit").tolist()


def call(stub, key: str, celsius: np.ndarray) -> tuple[str, list[float]]:
    message = service_pb2.ModelInferRequest(model_name=MODEL, raw_input_contents=[celsius.tobytes()])
    message.inputs.add(name="celsius", datatype="FP32", shape=celsius.shape)
    answer, about = stub.ModelInfer.with_call(message, metadata=[("api-key", key)], timeout=60)
    [raw] = answer.raw_output_contents
    return dict(about.initial_metadata())[SERVED_BY], np.frombuffer(raw, np.float32).tolist()


def main() -> None:
    way, host, key, count, *celsius = sys.argv[1:]
    sent = np.array([float(each) for each in celsius], np.float32)
    served, answers = Counter(), set()
    with grpc.insecure_channel(host) as channel:
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for _ in range(int(count)):
            who, answer = rest(host, {"api-key": key}, sent) if way == "http" else call(stub, key, sent)
            served[who] += 1
            answers.add(tuple(answer))
    print(json.dumps({"served": served, "answers": sorted(answers)}))


main()
