"""What a script's service answers, without any transport: Azure's routes, headers and words, in the caller's thread.

A request comes as a WSGI environment, because that is what a script with @rawhttp sees of it.
"""

import logging
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from werkzeug.wrappers import Request, Response

from wye_runtime.scripts.inputs import MethodRefused, Refused
from wye_runtime.scripts.raw import FAILED, AMLRequest, AMLResponse
from wye_runtime.scripts.script import HEADERS, Script
from wye_runtime.scripts.settings import ScriptSettings
from wye_runtime.scripts.swagger import Swagger

log = logging.getLogger("wye")
Environ = dict[str, Any]
SCORE, DESCRIPTION, HEALTH = "/score", "/swagger.json", "/"
METHODS = {
    HEALTH: ("GET", "HEAD", "OPTIONS"),
    SCORE: ("GET", "HEAD", "POST", "OPTIONS"),
    DESCRIPTION: ("GET", "HEAD", "OPTIONS"),
}
NAMED = "wye.request_id"  # in the environment: the request's id where its caller gave none
ID, OLD_ID, CALLERS_ID = "x-request-id", "x-ms-request-id", "x-ms-client-request-id"
TRACE, VERSION = "TraceId", "x-ms-server-version"
LONGEST_ID = 100
MILLISECONDS = "x-ms-run-fn-exec-ms"
NOT_FOUND = (
    "The requested URL was not found on the server. If you entered the URL manually please check your spelling and "
    "try again."
)
NOT_ALLOWED = "The method is not allowed for the requested URL."
RUN_FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."
FAILURE = "An unexpected internal error occurred. Check the logs for more info."


@dataclass(frozen=True, slots=True)
class Answer:
    """As it goes out: whole, or where the script makes it bit by bit, as it is made."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes
    stream: Iterator[bytes] | None = None


class Server:
    """Over one script."""

    def __init__(self, script: Script, swagger: Swagger, settings: ScriptSettings) -> None:
        self.script = script
        self.swagger = swagger
        self.settings = settings

    def answer(self, environ: Environ) -> Answer:
        """The answer to one request."""
        request = AMLRequest(environ)
        methods = METHODS.get(request.path)
        if methods is None:
            return sent(said(404, NOT_FOUND), environ)
        if request.method not in methods:
            return sent(said(405, NOT_ALLOWED), environ)
        ids, problem = ids_of(request)
        response = said(431, problem) if problem else self.response(request)
        response.headers.update(ids)
        return sent(self.signed(response, request), environ)

    def timed_out(self, environ: Environ) -> Answer:
        """In place of an answer that took longer than the script may take."""
        request = AMLRequest(environ)
        message = f"Scoring timeout after {self.settings.timeout_ms} ms"
        response = AMLResponse({"message": message}, 500, json_str=True, run_function_failed=True)
        response.headers.update(ids_of(request)[0])
        return sent(self.signed(response, request), environ)

    def signed(self, response: Response, request: Request) -> Response:
        """With what every answer of a known route has."""
        if self.settings.server:
            response.headers[VERSION] = self.settings.server
        if TRACE in request.headers:
            response.headers[TRACE] = request.headers[TRACE]
        return response

    def response(self, request: AMLRequest) -> Response:
        try:
            if request.path == SCORE:
                return self.scored(request)
            if request.method == "OPTIONS":
                return allowed(METHODS[request.path])
            if request.path == DESCRIPTION:
                return AMLResponse(self.swagger.get(request.args.get("version")), 200, json_str=True)
            return plain("Healthy")
        except Refused as error:
            return said(error.status, error.message)
        except Exception as error:
            log.error("the script's answer cannot be sent", exc_info=error, extra={"requestId": request_id(request)})
            return said(500, FAILURE)

    def scored(self, request: AMLRequest) -> Response:
        try:
            arguments = self.script.read(request)
        except MethodRefused:
            if request.method == "OPTIONS":
                return AMLResponse("", 200)
            raise
        if self.script.takes_headers:
            arguments[HEADERS] = dict(request.headers)
        began = time.perf_counter()
        try:
            output = self.script.run(**arguments)
        except (Exception, SystemExit) as error:  # a script that gives up must not take the others' requests along
            log.error("run() failed", exc_info=error, extra={"requestId": request_id(request)})
            return AMLResponse({"message": RUN_FAILED}, 500, json_str=True, run_function_failed=True)
        taken = (time.perf_counter() - began) * 1000
        response = output if isinstance(output, Response) else AMLResponse(output, 200, json_str=True)
        if isinstance(output, Response) and response.status_code >= 500:
            response.headers[FAILED] = "True"
        response.headers.add(MILLISECONDS, f"{taken:.3f}")
        return response


def ids_of(request: Request) -> tuple[dict[str, str], str]:
    """(the ids of an answer, what is wrong with those that were asked for)."""
    own = request.headers.get(ID) or request_id(request)
    old, callers = request.headers.get(OLD_ID, ""), request.headers.get(CALLERS_ID, "")
    callers = callers or old
    old = old or callers or own
    if len(own) > LONGEST_ID:
        return {}, f"{ID} must not exceed {LONGEST_ID} characters"
    if max(len(old), len(callers)) > LONGEST_ID:
        return {ID: own}, f"{OLD_ID} and {CALLERS_ID} must not exceed {LONGEST_ID} characters"
    return {ID: own, OLD_ID: old, **({CALLERS_ID: callers} if callers else {})}, ""


def request_id(request: Request) -> str:
    """What this request is called in logs and answers."""
    return str(request.environ.get(NAMED, ""))


def said(status: int, message: str) -> AMLResponse:
    """An error in Azure's form."""
    return AMLResponse({"message": message}, status, json_str=True)


def plain(text: str) -> Response:
    """A text, with the type that Azure's server gives it."""
    return Response(text, mimetype="text/html")


def allowed(methods: Iterable[str]) -> Response:
    """The answer to OPTIONS."""
    response = plain("")
    response.headers["Allow"] = ", ".join(methods)
    return response


def sent(response: Response, environ: Environ) -> Answer:
    """As it goes over the wire."""
    parts, status, headers = response.get_wsgi_response(environ)
    code, listed = int(status.split()[0]), list(headers)
    if response.is_streamed:
        return Answer(code, listed, b"", iter(parts))
    try:
        return Answer(code, listed, b"".join(parts))
    finally:
        response.close()
