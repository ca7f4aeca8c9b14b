"""The two ports of a script: Azure's routes and our probes on the one, what the operator asks on the other."""

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from io import BytesIO

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from wye_runtime.endpoints import Edge, Ledger
from wye_runtime.endpoints.answers import as_response, json_answer, refusal, request_id
from wye_runtime.endpoints.body import body_of, unless_gone
from wye_runtime.endpoints.inner import Inner, inner_app
from wye_runtime.endpoints.serving import readiness
from wye_runtime.errors import RequestError, RequestTimeout
from wye_runtime.scripts.server import NAMED, SCORE, Answer, Environ, Server
from wye_runtime.scripts.service import ScriptService
from wye_runtime.scripts.threads import LATE, Seat

ROUTES = ("/", "/healthz", "/score", "/swagger.json", "/openapi.json", "/v2/health/live", "/v2/health/ready")
DESCRIBED = "/openapi.json"


class ScriptServing:
    """The ASGI application below the edge."""

    def __init__(self, service: ScriptService) -> None:
        self.service = service
        self.own: dict[str, Callable[[Request], Response]] = {
            "/healthz": lambda _: Response("Healthy", media_type="text/plain"),
            "/v2/health/live": lambda _: json_answer({"live": True}),
            "/v2/health/ready": self.ready,
            DESCRIBED: lambda _: json_answer(self.service.current().swagger.get("3.1")),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        scope["endpoint"] = scope["path"]  # what the edge counts it by
        try:
            own = self.own.get(scope["path"])
            if own is not None and request.method in ("GET", "HEAD"):
                await own(request)(scope, receive, send)
            else:
                await self.answered(request, send)
        except RequestError as error:
            await as_response(refusal(error, request_id(request)))(scope, receive, send)

    def ready(self, request: Request) -> Response:
        """Readiness, also for whoever asks on behalf of one deployment."""
        wanted = request.headers.get("x-wye-deployment")
        is_other = wanted is not None and wanted != self.service.config.deployment
        return readiness("other deployment" if is_other else self.service.not_ready)

    async def answered(self, request: Request, send: Send) -> None:
        """Body in, run, answer out."""
        config, server = self.service.config, self.service.current()
        body = await body_of(request, config.max_request_bytes, config.request.timeout)
        environ = environ_of(request, body)
        if request.scope["path"] != SCORE:
            await whole(server.answer(environ), send)
            return
        self.service.requests += 1
        async with self.service.threads.seat(asyncio.get_running_loop().time() + config.request.timeout) as seat:
            answer = await unless_gone(request, self.run(server, environ, seat))
            if answer.stream is None:
                await whole(answer, send)
            else:
                await self.streamed(request, answer, seat, send)

    async def run(self, server: Server, environ: Environ, seat: Seat) -> Answer:
        """Whichever time is up first: Azure's answer where the script's own is, ours where the request's is."""
        longest, patience = server.settings.timeout_ms / 1000, self.service.config.request.timeout
        try:
            return await seat.do(partial(server.answer, environ), min(longest, patience))
        except TimeoutError:
            self.service.threads.slots.drop("timeout")
            if longest <= patience:
                return server.timed_out(environ)
            raise RequestTimeout(LATE) from None

    async def streamed(self, request: Request, answer: Answer, seat: Seat, send: Send) -> None:
        """Part by part; silence and failures cut the connection, for the status has gone out."""
        assert answer.stream is not None
        await begun(answer, send)
        following = partial(next, answer.stream, None)
        patience = self.service.config.request.timeout
        while (part := await unless_gone(request, seat.do(following, patience))) is not None:
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})


async def whole(answer: Answer, send: Send) -> None:
    """Sends an answer that is there."""
    await begun(answer, send)
    await send({"type": "http.response.body", "body": answer.body})


async def begun(answer: Answer, send: Send) -> None:
    """Sends status and headers."""
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1", "replace")) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})


def environ_of(request: Request, body: bytes) -> Environ:
    """A request as WSGI has it."""
    scope = request.scope
    host, port = scope.get("server") or ("", 0)
    environ: Environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "RAW_URI": scope["raw_path"].decode("latin-1"),
        "SERVER_NAME": str(host),
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": (scope.get("client") or ("",))[0],
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": BytesIO(body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        NAMED: request_id(request),
    }
    for raw, value in scope["headers"]:
        name = raw.decode("latin-1").upper().replace("-", "_")
        key = name if name == "CONTENT_TYPE" else f"HTTP_{name}"
        if name != "CONTENT_LENGTH" and b"_" not in raw:  # an underscore could pass for a header that routers set
            text = value.decode("latin-1")
            environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


class ScriptInner(Inner):
    """The inner port's routes, as of a model, but for what a script has not."""

    def __init__(self, service: ScriptService) -> None:
        super().__init__(service)  # type: ignore[arg-type]  # what the other routes ask of it, it has
        self.script = service

    async def signature(self, _: Request) -> Response:
        """A script has none; its model's bytes have a digest."""
        self.script.current()
        source, model = self.script.config.model, self.script.model
        told: dict[str, object] = {
            "name": source.name,
            "version": source.version,
            "uri": source.uri,
            "inputs": [],
            "outputs": [],
        }
        described = {**told, "sha256": model.sha256, "sizeBytes": model.size}
        return json_answer({"model": described, "script": self.script.source.file, "contract": None})

    async def scheduling(self, _: Request) -> Response:
        self.script.current()
        return json_answer({"mode": "threads", "slots": self.script.threads.slots.capacity})


def script_app(service: ScriptService, ledger: Ledger) -> Edge:
    """The ASGI application of the serving port."""
    return Edge(ScriptServing(service), service, ledger, {route: route for route in ROUTES})


def script_inner_app(service: ScriptService) -> Starlette:
    """The ASGI application of the inner port."""
    return inner_app(ScriptInner(service))
