"""The one place where this runtime's errors become HTTP: status, headers and the body that every error has."""

from collections.abc import Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from wye_runtime import errors
from wye_runtime.codecs import dumps
from wye_runtime.errors import MAX_DETAILS, RequestError
from wye_runtime.protocol import JSON_TYPE, RawResponse

STATUS: Mapping[type[RequestError], int] = {
    errors.BadRequest: 400,
    errors.NotFound: 404,
    errors.CallNotServed: 404,
    errors.ModelNotFound: 404,
    errors.UploadTimeout: 408,
    errors.PayloadTooLarge: 413,
    errors.UnsupportedMediaType: 415,
    errors.EncodingNotServed: 415,
    errors.InvalidInput: 422,
    errors.Misfit: 422,
    errors.TooManyRequests: 429,
    errors.ModelError: 500,
    errors.ModelNotReady: 503,
    errors.RequestTimeout: 504,
}
# of the framework and the parser, which have no class of ours
CODES = {
    400: "BadRequest",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "UploadTimeout",
    431: "HeadersTooLarge",
    500: "InternalError",
}
RETRY_AFTER = {"retry-after": "1"}
REQUEST_ID, WATCH = "wye.request_id", "wye.watch"  # in a scope
MAX_MESSAGE = 1000


def error_body(code: str, message: str, request_id: str, details: Any = ()) -> dict[str, dict[str, Any]]:
    """The body that every error of router and runtime has."""
    body = {"code": code, "message": message[:MAX_MESSAGE], "requestId": request_id}
    return {"error": {**body, "details": list(details[:MAX_DETAILS])} if details else body}


def json_answer(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """JSON, for the ordinary way."""
    return Response(dumps(body), status, headers, JSON_TYPE)


def as_response(answer: RawResponse) -> Response:
    """An answer of the service, for the ordinary way."""
    return Response(answer.body, answer.status, answer.headers, answer.content_type)


def request_id(request: Request) -> str:
    """What this request is called in logs and answers."""
    return str(request.scope.get(REQUEST_ID, ""))


def refusal(error: RequestError, request_id: str) -> RawResponse:
    """A RequestError as its status and sentence."""
    status = STATUS.get(type(error), 500)
    body = dumps(error_body(error.code, error.message, request_id, error.details))
    return RawResponse(body, headers=RETRY_AFTER if status in (429, 503) else {}, status=status)


def failure(request_id: str) -> RawResponse:
    """What nobody foresaw: the log has the traceback, the caller has the id."""
    message = "an error inside the runtime; its log has more under this requestId"
    return RawResponse(dumps(error_body("InternalError", message, request_id)), status=500)


async def refused(request: Request, error: Exception) -> Response:
    """Answers an error of ours."""
    if not isinstance(error, RequestError):
        return await failed(request, error)
    return as_response(refusal(error, request_id(request)))


async def unrouted(request: Request, error: Exception) -> Response:
    """Unknown paths and methods."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    place = f"{request.method} {request.url.path[:200]}"
    message = {404: f"there is no {place} here", 405: f"{place} does not take this method"}
    code = CODES.get(status, "BadRequest")
    return json_answer(error_body(code, message.get(status, str(error)), request_id(request)), status, headers)


async def failed(request: Request, _: Exception) -> Response:
    """Answers what nobody foresaw."""
    return as_response(failure(request_id(request)))


HANDLERS = {RequestError: refused, HTTPException: unrouted, Exception: failed}
