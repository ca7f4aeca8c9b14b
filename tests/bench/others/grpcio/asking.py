"""Asks once over gRPC: `asking.py HOST:PORT FRAME ROWS` prints the numbers and the bytes of the answer, as JSON.

With tritonclient from the rows (a .npy file), and with the very frame that the load generator sends.
"""

import json
import sys

import grpc
import numpy as np
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2

CALL, PREFIX = "/inference.GRPCInferenceService/ModelInfer", 5
NOT_YET = 3  # the exit code where nothing listens
LIMIT = [("grpc.max_receive_message_length", 2**26), ("grpc.max_send_message_length", 2**26)]


def by_client(address: str, request: service_pb2.ModelInferRequest, rows: np.ndarray) -> list[float]:
    tensor = triton.InferInput(request.inputs[0].name, list(rows.shape), "FP32")
    tensor.set_data_from_numpy(rows)
    answer = triton.InferenceServerClient(address).infer(request.model_name, [tensor])
    return answer.as_numpy(answer.get_response().outputs[0].name).ravel().tolist()


def by_frame(address: str, frame: bytes) -> tuple[list[float], int]:
    with grpc.insecure_channel(address, options=LIMIT) as channel:
        content = channel.unary_unary(CALL)(frame[PREFIX:], timeout=30)
    answer = service_pb2.ModelInferResponse.FromString(content)
    return np.frombuffer(answer.raw_output_contents[0], np.float32).tolist(), len(content) + PREFIX


def asked(address: str, frame_file: str, rows_file: str) -> dict[str, object]:
    with open(frame_file, "rb") as file:
        frame = file.read()
    numbers, size = by_frame(address, frame)
    request = service_pb2.ModelInferRequest.FromString(frame[PREFIX:])
    return {"frame": numbers, "bytes": size, "tritonclient": by_client(address, request, np.load(rows_file))}


if __name__ == "__main__":
    try:
        print(json.dumps(asked(*sys.argv[1:])))
    except grpc.RpcError as error:
        print(f"{error.code().name}: {error.details()}", file=sys.stderr)
        sys.exit(NOT_YET if error.code() == grpc.StatusCode.UNAVAILABLE else 1)
