"""The inner port's routes: for the kubelet, the operator and Prometheus; the router never leads here."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from wye_runtime.endpoints.answers import HANDLERS, json_answer
from wye_runtime.service import Service


class Inner:
    """The handlers, over one service."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def routes(self) -> list[Route]:
        return [
            Route("/livez", self.live),
            Route("/readyz", self.ready),
            Route("/signature", self.signature),
            Route("/load", self.load),
            Route("/scheduling", self.scheduling),
            Route("/metrics", self.metrics),
        ]

    async def live(self, _: Request) -> Response:
        lost = self.service.lost
        return json_answer({"live": lost is None, "reason": lost and lost.message}, 503 if lost else 200)

    async def ready(self, _: Request) -> Response:
        why = self.service.not_ready
        return json_answer({"ready": why is None, "reason": why}, 503 if why else 200)

    async def signature(self, _: Request) -> Response:
        """What is served, for the operator's status and its comparison of contracts."""
        ready, config = self.service.current(), self.service.config
        artifact, signature = ready.model.artifact, ready.model.signature
        model = {
            "name": config.model.name,
            "version": config.model.version,
            "uri": config.model.uri,
            "sha256": artifact.sha256,
            "sizeBytes": artifact.size,
            "inputs": [spec.to_json() for spec in signature.inputs],
            "outputs": [spec.to_json() for spec in signature.outputs],
        }
        return json_answer({"model": model, "provider": ready.model.provider, "contract": config.contract})

    async def load(self, _: Request) -> Response:
        return json_answer(self.service.load_now())

    async def scheduling(self, _: Request) -> Response:
        return json_answer(self.service.scheduling())

    async def metrics(self, request: Request) -> Response:
        text, content_type = self.service.metrics.text(request.headers.get("accept", ""))
        return Response(text, headers={"content-type": content_type})


def inner_app(inner: Inner) -> Starlette:
    """The ASGI application of the inner port."""
    app = Starlette(routes=inner.routes(), exception_handlers=HANDLERS)
    app.router.redirect_slashes = False
    return app
