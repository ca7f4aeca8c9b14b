"""gRPC by HTTP/2 on a port of its own, for those who run the runtime without a router (`--grpc-port`).

grpcio does the talking, and is an extra: behind a router nobody needs it. What is answered, and how errors are named,
is what the short way answers.
"""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any, Never
from urllib.parse import unquote

from wye_runtime.endpoints import Ledger, calls
from wye_runtime.endpoints.answers import refusal
from wye_runtime.endpoints.ledger import CLIENT_GONE, ID_LENGTH, Entry, new_id
from wye_runtime.errors import ConfigError, RequestError
from wye_runtime.protocol import RawRequest, RawResponse
from wye_runtime.service import Service
from wye_runtime.tracing import TRACEPARENT, Watch, context_of

MISSING = "--grpc-port needs grpcio: pip install 'wye-runtime[grpc]'"
ID = "x-request-id"
MOST_CALLS = 300  # open at a time: the queue before the model holds 256, and each has a message in memory


def library() -> Any:
    """grpcio, where it is."""
    try:
        import grpc.aio  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigError(MISSING) from None
    return grpc


class CallsPort:
    """A server of grpcio's over one service."""

    def __init__(self, service: Service, ledger: Ledger) -> None:
        grpc = library()
        self.service, self.ledger = service, ledger
        self.statuses = {status.value[0]: status for status in grpc.StatusCode}
        limit = service.config.max_request_bytes
        options = {"max_receive_message_length": limit, "max_send_message_length": -1, "so_reuseport": 0}
        named = [(f"grpc.{name}", value) for name, value in options.items()]
        self.server = grpc.aio.server(options=named, maximum_concurrent_rpcs=MOST_CALLS)
        self.server.add_generic_rpc_handlers((Handlers(grpc, self),))

    async def open(self, host: str, port: int) -> int:
        """The port; OSError where it is not to be had."""
        place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            found: int = self.server.add_insecure_port(place)
        except RuntimeError:
            raise OSError(f"{place} is in use, or not of this machine") from None
        await self.server.start()
        return found

    async def close(self) -> None:
        await self.server.stop(1)

    async def answer(self, method: str, message: bytes, context: Any) -> bytes:
        """A unary call."""
        metadata = dict(context.invocation_metadata())
        named = str(metadata.get(ID, ""))[:ID_LENGTH] or new_id()
        route = method if method in calls.CALLS else "other"
        entry, status, unforeseen = Entry(self.ledger.came(), named, route), 200, None
        entry.context = self.ledger.watched(context_of(str(metadata.get(TRACEPARENT, "")).encode()))
        watch = entry.context if isinstance(entry.context, Watch) else None
        raw = RawRequest(message, named, is_call=True, timeout=context.time_remaining(), watch=watch)
        try:
            return await self.body(method, raw)
        except asyncio.CancelledError:
            status = CLIENT_GONE
            raise
        except RequestError as error:
            refused = calls.refusal(error, refusal(error, named))
            status = refused.status
            await self.end(context, refused, named)
        except Exception as error:  # noqa: BLE001 -- the outermost loop; the ledger logs it
            status, unforeseen = 500, error
            await self.end(context, calls.failure(), named)
        finally:
            self.ledger.ended(entry, status, unforeseen)

    async def body(self, method: str, raw: RawRequest) -> bytes:
        begun = calls.begun(self.service, method, raw)
        answer = begun if isinstance(begun, RawResponse) else await self.service.finish(begun)
        return answer.body

    async def end(self, context: Any, refused: RawResponse, named: str) -> Never:
        """Raises what grpcio ends a call with."""
        told = {**refused.headers, ID: named}
        status, words = self.statuses[int(told.pop("grpc-status"))], unquote(told.pop("grpc-message"))
        await context.abort(status, words, tuple(told.items()))
        raise AssertionError("abort raises")

    async def answers(self, method: str, messages: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        """A call of many messages, each answered by one."""
        async for message in messages:
            yield await self.answer(method, message, context)


class Handlers:
    """What grpcio asks how to answer a method; messages are bytes for it."""

    def __init__(self, grpc: Any, port: CallsPort) -> None:
        self.grpc, self.port = grpc, port

    def service(self, details: Any) -> Any:
        """grpcio's word for it."""
        method = details.method
        if method in calls.STREAMS:
            return self.grpc.stream_stream_rpc_method_handler(partial(self.port.answers, method))
        return self.grpc.unary_unary_rpc_method_handler(partial(self.port.answer, method))
