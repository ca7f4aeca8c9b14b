"""From a request to the arguments of `run`: text, the request itself, or the fields of a JSON object."""

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from werkzeug.wrappers import Request

Arguments = dict[str, Any]
Reader = Callable[[Request], Arguments]
Parameter = inspect.Parameter


class Refused(Exception):
    """A request that `run` never sees; the message is Azure's."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class MethodRefused(Refused):
    """Only scripts that take the request itself take other methods than GET and POST."""

    def __init__(self) -> None:
        super().__init__(405, "Method not allowed")


def raw_reader(name: str) -> Reader:
    """Of a `run` with @rawhttp."""
    return lambda request: {name: request}


def text_reader(name: str) -> Reader:
    """Of a `run` without decorators: the body as it is, or the query as a JSON object."""

    def read(request: Request) -> Arguments:
        if is_get(request):
            return {name: json.dumps(queried(request))}
        # a form that is parsed leaves no body, which is what Azure's scripts get of `curl -d`; ours get the body
        body = request.get_data(parse_form_data=not is_plain_form(request))
        try:
            return {name: body.decode()}
        except UnicodeDecodeError as error:
            raise Refused(400, f"Input cannot be decoded as UTF-8: {error}") from None

    return read


def object_reader(parameters: Sequence[Parameter]) -> Reader:
    """Of a `run` with the schema decorators: a field for each argument."""

    def read(request: Request) -> Arguments:
        fields = queried(request) if is_get(request) else posted(request)
        return {each.name: argument(each, fields) for each in parameters}

    return read


def argument(parameter: Parameter, fields: Mapping[str, Any]) -> Any:
    """Its field, else its default."""
    value = fields.get(parameter.name, parameter.default)
    if value is Parameter.empty:
        raise Refused(400, f"A value is not provided for the {parameter.name!r} parameter.")
    return value


def is_get(request: Request) -> bool:
    """Whether the parameters stand in the query; other methods than GET and POST are refused."""
    if request.method not in ("GET", "POST"):
        raise MethodRefused
    return request.method == "GET"


def is_plain_form(request: Request) -> bool:
    """Whether the body has curl's own type."""
    return request.mimetype == "application/x-www-form-urlencoded"


def posted(request: Request) -> Mapping[str, Any]:
    """The parameters in a body."""
    if not (request.is_json or not request.mimetype or is_plain_form(request)):
        raise Refused(415, "Expects Content-Type to be application/json")
    body = request.get_data()
    if not body:
        raise Refused(400, "POST body is empty. Expecting a JSON dictionary.")
    try:
        fields = json.loads(body)
    except ValueError as error:
        raise Refused(400, f"POST body could not be decoded as JSON: {error}") from None
    if not isinstance(fields, dict):
        raise Refused(400, "POST body should be a JSON dictionary.")
    return fields


def queried(request: Request) -> dict[str, Any]:
    """Each value as JSON where it is some; a repeated key is a list."""
    values = {name: [value_of(text) for text in texts] for name, texts in request.args.lists()}
    return {name: found[0] if len(found) == 1 else found for name, found in values.items()}


def value_of(text: str) -> Any:
    """A parameter of a query: JSON where it is some, else the text itself."""
    try:
        return json.loads(text)
    except ValueError:
        return text
