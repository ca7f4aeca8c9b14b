"""Ray Serve with one replica: `server.py PORT FOLDER`."""

import signal
import sys

import orjson
import ray
from engine import Engine
from ray import serve
from starlette.requests import Request
from starlette.responses import Response


@serve.deployment(num_replicas=1, max_ongoing_requests=100)
class Onnx:
    def __init__(self) -> None:
        self.engine = Engine()

    async def __call__(self, request: Request) -> Response:
        outputs = self.engine.run(orjson.loads(await request.body())["rows"])
        return Response(orjson.dumps({"rows": outputs.tolist()}), media_type="application/json")


if __name__ == "__main__":
    port, folder = sys.argv[1:]
    ray.init(num_cpus=2, include_dashboard=False, object_store_memory=200 * 2**20, _temp_dir=folder)
    serve.start(http_options={"host": "127.0.0.1", "port": int(port)})
    serve.run(Onnx.bind(), route_prefix="/score")
    signal.pause()
