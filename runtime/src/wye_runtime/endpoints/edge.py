"""The outermost layer of the serving port: names, counts and logs requests; ends connections while draining."""

import asyncio
import logging
import time
import uuid
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wye_runtime.endpoints.answers import REQUEST_ID
from wye_runtime.errors import ClientGone
from wye_runtime.service import Service

log = logging.getLogger("wye")
CLIENT_GONE = 499
ID_LENGTH = 128
SLOW_SHARE = 0.5  # of the request's time-out
UNKNOWN = "other"


class Edge:
    """Pure ASGI; `active` and `latest` are what a drain waits for."""

    def __init__(self, app: ASGIApp, service: Service, routes: Mapping[object, str]) -> None:
        self.app = app
        self.service = service
        self.routes = routes
        self.active = 0
        self.latest = 0.0
        self.slow = service.config.request.timeout * SLOW_SHARE

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope, send, self.service)
        self.active += 1
        try:
            await self.app(scope, receive, exchange.send)
        except ClientGone:
            exchange.status = CLIENT_GONE
        except Exception as error:  # noqa: BLE001 -- the outermost loop; already answered, logged by ended()
            exchange.unforeseen = error
        finally:
            self.active -= 1
            self.ended(scope, exchange)

    def ended(self, scope: Scope, exchange: "Exchange") -> None:
        """Counts and, where it is worth a line, logs."""
        seconds = time.perf_counter() - exchange.began
        route = self.routes.get(scope.get("endpoint"), UNKNOWN)
        if "{model}" in route or route == "/score":
            self.latest = asyncio.get_running_loop().time()
        metrics = self.service.metrics
        metrics.requests.labels(str(exchange.status), route).inc()
        metrics.request_seconds.labels(route).observe(seconds)
        extra = {"requestId": exchange.id, "route": route, "status": exchange.status}
        if exchange.has_failed:
            log.error("request failed", extra={**extra, "ms": round(seconds * 1000, 1)}, exc_info=exchange.unforeseen)
        elif seconds > self.slow:
            log.warning("slow request", extra={**extra, "ms": round(seconds * 1000, 1)})


class Exchange:
    """One request on its way out."""

    def __init__(self, scope: Scope, send: Send, service: Service) -> None:
        self.began = time.perf_counter()
        self.status = 500
        self.unforeseen: Exception | None = None
        self.sender = send
        self.service = service
        self.id = Headers(scope=scope).get("x-request-id", "")[:ID_LENGTH] or str(uuid.uuid4())
        scope[REQUEST_ID] = self.id

    @property
    def has_failed(self) -> bool:
        """Whether it is the runtime's or the model's fault; not being ready is neither's."""
        return self.unforeseen is not None or (self.status >= 500 and self.status != 503)

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.id
            if self.service.is_draining:
                headers["connection"] = "close"
        await self.sender(message)
