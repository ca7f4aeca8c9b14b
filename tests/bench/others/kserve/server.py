"""KServe's model server with a model class, as its guide has it: `server.py NAME HTTP-PORT GRPC-PORT`."""

import sys

from engine import Engine
from kserve import InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import get_predict_response


class Onnx(Model):
    def load(self) -> bool:
        self.engine = Engine()
        self.ready = True
        return True

    async def predict(self, payload: InferRequest, headers: dict | None = None, _: dict | None = None) -> InferResponse:
        return get_predict_response(payload, self.engine.run(payload.inputs[0].as_numpy()), self.name)


if __name__ == "__main__":
    name, http, grpc = sys.argv[1:4]  # its own flags follow
    model = Onnx(name)
    model.load()
    ModelServer(http_port=int(http), grpc_port=int(grpc), workers=1, enable_latency_logging=False).start([model])
