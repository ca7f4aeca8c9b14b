"""The serving port's routes: the Open Inference Protocol, /score, their description, and nothing else."""

import time
from collections.abc import Callable, Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from wye_runtime.endpoints.answers import HANDLERS, WATCH, as_response, json_answer, request_id
from wye_runtime.endpoints.body import body_of, unless_gone
from wye_runtime.endpoints.edge import Edge
from wye_runtime.endpoints.ledger import Ledger
from wye_runtime.errors import NotFound, shown
from wye_runtime.openapi import Schema, as_20, as_30, document
from wye_runtime.protocol import HEADER_LENGTH, SERVER, RawRequest, RawResponse
from wye_runtime.service import Service
from wye_runtime.tracing import Watch

MODEL = "/v2/models/{model}"
VERSION = MODEL + "/versions/{version}"
SWAGGER_VERSIONS: Mapping[str, Callable[[Schema], Schema]] = {"2": as_20, "3": as_30, "3.1": dict}
AZURES_DEFAULT = "2"


class Serving:
    """The handlers, over one service."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def routes(self) -> list[Route]:
        """All there is on this port."""
        return [
            Route("/", self.healthy),
            Route("/healthz", self.healthy),
            Route("/score", self.score, methods=["POST"]),
            Route("/openapi.json", self.openapi),
            Route("/swagger.json", self.swagger),
            Route("/v2", self.server),
            Route("/v2/", self.server),
            Route("/v2/health/live", self.live),
            Route("/v2/health/ready", self.ready),
            Route(MODEL, self.metadata),
            Route(VERSION, self.metadata_of_version),
            Route(MODEL + "/ready", self.model_ready),
            Route(VERSION + "/ready", self.model_ready_of_version),
            Route(MODEL + "/infer", self.infer, methods=["POST"]),
            Route(VERSION + "/infer", self.infer_of_version, methods=["POST"]),
        ]

    async def healthy(self, _: Request) -> Response:
        return PlainTextResponse("Healthy")

    async def server(self, _: Request) -> Response:
        return json_answer(SERVER)

    async def live(self, _: Request) -> Response:
        return json_answer({"live": True})

    async def ready(self, request: Request) -> Response:
        """Readiness, also for whoever asks on behalf of one deployment."""
        wanted = request.headers.get("x-wye-deployment")
        is_other = wanted is not None and wanted != self.service.config.deployment
        why = "other deployment" if is_other else self.service.not_ready
        return readiness(why)

    async def metadata(self, request: Request) -> Response:
        return self.described(request)

    async def metadata_of_version(self, request: Request) -> Response:
        return self.described(request)

    def described(self, request: Request) -> Response:
        ready = self.service.current()
        ready.jobs.check_target(raw_request(request, b""))
        source, signature = self.service.config.model, ready.model.signature
        body = {
            "name": source.name,
            "versions": [source.version],
            "platform": "onnxruntime_onnx",
            "inputs": [spec.to_json() for spec in signature.inputs],
            "outputs": [spec.to_json() for spec in signature.outputs],
        }
        return json_answer(body)

    async def model_ready(self, request: Request) -> Response:
        return self.readiness_of(request)

    async def model_ready_of_version(self, request: Request) -> Response:
        return self.readiness_of(request)

    def readiness_of(self, request: Request) -> Response:
        if self.service.loaded:
            self.service.loaded.jobs.check_target(raw_request(request, b""))
        return readiness(self.service.not_ready, name=self.service.config.model.name)

    async def infer(self, request: Request) -> Response:
        return await self.answered(request)

    async def infer_of_version(self, request: Request) -> Response:
        return await self.answered(request)

    async def score(self, request: Request) -> Response:
        return await self.answered(request)

    async def answered(self, request: Request) -> Response:
        """Body in, run, answer out."""
        config = self.service.config
        self.service.current()
        body = await body_of(request, config.max_request_bytes, config.request.timeout)
        begun = self.service.begin(raw_request(request, body))
        if not isinstance(begun, RawResponse):
            begun = await unless_gone(request, self.service.finish(begun))
        return as_response(begun)

    async def openapi(self, _: Request) -> Response:
        return json_answer(document(self.service.config, self.service.current()))

    async def swagger(self, request: Request) -> Response:
        """The same under Azure ML's name for it, in the version that is asked for."""
        version = request.query_params.get("version", AZURES_DEFAULT)
        written = SWAGGER_VERSIONS.get(version)
        if written is None:
            has = ", ".join(SWAGGER_VERSIONS)
            raise NotFound(f"Swagger version {shown(version)} is not there. Supported versions: {has}")
        return json_answer(written(document(self.service.config, self.service.current())))


def readiness(why: str | None, **more: str) -> Response:
    """200, or 503 with the reason."""
    if why is None:
        return json_answer({**more, "ready": True})
    return json_answer({**more, "ready": False, "reason": why}, 503, {"retry-after": "1"})


def raw_request(request: Request, body: bytes) -> RawRequest:
    """A request of the ordinary way as the service takes it."""
    watch: Watch | None = request.scope.get(WATCH)
    if watch is not None:
        watch.arrived(time.perf_counter())
    return RawRequest(
        body=body,
        request_id=request_id(request),
        model=request.path_params.get("model"),
        version=request.path_params.get("version"),
        content_type=request.headers.get("content-type"),
        content_encoding=request.headers.get("content-encoding"),
        header_length=request.headers.get(HEADER_LENGTH),
        watch=watch,
    )


def serving_app(service: Service, ledger: Ledger) -> Edge:
    """The ASGI application of the serving port."""
    routes = Serving(service).routes()
    app = Starlette(routes=routes, exception_handlers=HANDLERS)
    app.router.redirect_slashes = False
    return Edge(app, service, ledger, {route.endpoint: route.path for route in routes})
