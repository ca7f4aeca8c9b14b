"""The outermost layer of the ordinary application: names requests, keeps the ledger, ends connections in a drain."""

from collections.abc import Mapping
from typing import Protocol

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wye_runtime.codecs.calls import GRPC_TYPE
from wye_runtime.endpoints.answers import REQUEST_ID, WATCH, as_response
from wye_runtime.endpoints.calls import refusal
from wye_runtime.endpoints.ledger import CLIENT_GONE, COPIED, ID_LENGTH, Entry, Ledger, new_id
from wye_runtime.errors import CallNotServed, ClientGone
from wye_runtime.protocol import RawResponse
from wye_runtime.tracing import TRACEPARENT, Watch, context_of

UNKNOWN = "other"


class Ending(Protocol):
    """Whoever serves."""

    is_draining: bool


class Edge:
    """Pure ASGI."""

    def __init__(self, app: ASGIApp, service: Ending, ledger: Ledger, routes: Mapping[object, str]) -> None:
        self.app = app
        self.service = service
        self.ledger = ledger
        self.routes = routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = Exchange(scope, send, self.service)
        app = odd_call if is_call(scope) else self.app
        entry, unforeseen = self.entry(scope, exchange.id), None
        try:
            await app(scope, receive, exchange.send)
        except ClientGone:
            exchange.status = CLIENT_GONE
        except Exception as error:  # noqa: BLE001 -- the outermost loop; already answered, logged by the ledger
            unforeseen = error
        finally:
            entry.route = self.routes.get(scope.get("endpoint"), UNKNOWN)
            self.ledger.ended(entry, exchange.status, unforeseen)

    def entry(self, scope: Scope, named: str) -> Entry:
        """A request for the ledger, which says the route when it is known."""
        headers, entry = Headers(scope=scope), Entry(self.ledger.came(), named, UNKNOWN)
        entry.is_copy = COPIED in headers
        entry.context = self.ledger.watched(context_of(headers.get(TRACEPARENT, "").encode()))
        if isinstance(entry.context, Watch):
            scope[WATCH] = entry.context
        return entry


def is_call(scope: Scope) -> bool:
    """Whether a request is gRPC's."""
    kind = Headers(scope=scope).get("content-type", "")
    return kind.startswith(GRPC_TYPE) and not kind.startswith(f"{GRPC_TYPE}-web")


async def odd_call(scope: Scope, receive: Receive, send: Send) -> None:
    """A call that does not come as calls come: only the short way can write trailers, and so answer one."""
    why = "calls are served as POST of application/grpc by HTTP/1.1, one after the other, and not without WYE_FAST_LANE"
    answer = refusal(CallNotServed(why), RawResponse(b""))
    await as_response(answer)(scope, receive, send)


class Exchange:
    """One request on its way out."""

    def __init__(self, scope: Scope, send: Send, service: Ending) -> None:
        self.status = 500
        self.sender = send
        self.service = service
        self.id = Headers(scope=scope).get("x-request-id", "")[:ID_LENGTH] or new_id()
        scope[REQUEST_ID] = self.id

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["x-request-id"] = self.id
            if self.service.is_draining:
                headers["connection"] = "close"
        await self.sender(message)
