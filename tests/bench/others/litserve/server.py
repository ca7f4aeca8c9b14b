"""LitServe with its fast queue, one worker and one HTTP server: `server.py PORT`."""

import sys

import litserve
import numpy as np
from engine import Engine


class Onnx(litserve.LitAPI):
    def setup(self, _: str) -> None:
        self.engine = Engine()

    def decode_request(self, request: dict) -> np.ndarray:
        return np.array(request["rows"], np.float32)

    def predict(self, rows: np.ndarray) -> np.ndarray:
        return self.engine.run(rows)

    def encode_response(self, output: np.ndarray) -> dict:
        return {"rows": output.tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Onnx(), accelerator="cpu", workers_per_device=1, fast_queue=True, timeout=60)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), num_api_servers=1, generate_client_file=False, log_level="warning"
    )
