"""ModelInfer on grpcio's synchronous server with four threads: `server.py NAME PORT`."""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
from engine import Engine
from tritonclient.grpc import service_pb2, service_pb2_grpc

LIMIT = [("grpc.max_receive_message_length", 2**26), ("grpc.max_send_message_length", 2**26)]


class Onnx(service_pb2_grpc.GRPCInferenceServiceServicer):
    def __init__(self, name: str) -> None:
        self.name, self.engine = name, Engine()

    def ModelInfer(self, request, _):
        shape = list(request.inputs[0].shape)
        outputs = self.engine.run(np.frombuffer(request.raw_input_contents[0], np.float32).reshape(shape))
        answer = service_pb2.ModelInferResponse(model_name=self.name, id=request.id)
        answer.outputs.add(name=self.engine.output, datatype="FP32", shape=outputs.shape)
        answer.raw_output_contents.append(outputs.tobytes())
        return answer


if __name__ == "__main__":
    name, port = sys.argv[1:]
    server = grpc.server(ThreadPoolExecutor(4), options=LIMIT)
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(Onnx(name), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()
