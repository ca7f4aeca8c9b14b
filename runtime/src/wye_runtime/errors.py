"""The one family of errors: what went wrong, in words for the caller; HTTP codes are given in endpoints."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

Detail = Mapping[str, object]


class WyeError(Exception):
    """A refusal that a caller or an operator can read; `code` is stable, `message` is a sentence."""

    code = "InternalError"

    def __init__(self, message: str, details: Sequence[Detail] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class RequestError(WyeError):
    """An answer to one request that is not the model's."""


class BadRequest(RequestError):
    code = "BadRequest"


class NotFound(RequestError):
    code = "NotFound"


class ModelNotFound(RequestError):
    code = "ModelNotFound"


class UploadTimeout(RequestError):
    code = "UploadTimeout"


class PayloadTooLarge(RequestError):
    code = "PayloadTooLarge"


class UnsupportedMediaType(RequestError):
    code = "UnsupportedMediaType"


class InvalidInput(RequestError):
    code = "InvalidInput"


class Misfit(RequestError):
    """One tensor's values do not fit; whoever knows the tensor's name makes an InvalidInput of it."""

    code = "InvalidInput"

    def __init__(self, message: str, position: int | None = None) -> None:
        super().__init__(message)
        self.position = position

    def detail(self, **where: object) -> Detail:
        """This misfit as an entry of `details`."""
        at = {} if self.position is None else {"position": self.position}
        return {**where, **at, "message": self.message}


class TooManyRequests(RequestError):
    code = "TooManyRequests"


class ModelError(RequestError):
    code = "ModelError"


class ModelNotReady(RequestError):
    code = "ModelNotReady"


class RequestTimeout(RequestError):
    code = "RequestTimeout"


class CallNotServed(RequestError):
    """A gRPC call, or a form of one, that is not served."""

    code = "NotFound"


class EncodingNotServed(RequestError):
    """A gRPC message that is compressed in a way that nobody here reads."""

    code = "UnsupportedMediaType"


class ClientGone(WyeError):
    """Nobody is there to read the answer; it never leaves the process."""

    code = "ClientGone"


class ConfigError(WyeError):
    """The configuration or the command line is wrong: exit 2; `code` is the reason in the last words."""

    code = "InvalidDeploymentSpec"


class CannotServe(WyeError):
    """The model cannot be served: exit 3; `code` is the reason in the last words."""


class ModelFetch(CannotServe):
    code = "ModelFetch"


class ModelDigestMismatch(CannotServe):
    code = "ModelDigestMismatch"


class ModelInvalid(CannotServe):
    code = "ModelInvalid"


class DeviceLost(CannotServe):
    """No run will succeed in this process any more."""

    code = "DeviceLost"


class InvalidDeploymentSpec(CannotServe):
    code = "InvalidDeploymentSpec"


class UserScriptImportError(CannotServe):
    code = "UserScriptImportError"


class UserScriptInitFailed(CannotServe):
    code = "UserScriptInitFailed"


class UserScriptFunctionNotFound(CannotServe):
    """No `init` or no `run`, or one that cannot be called as scripts are."""

    code = "UserScriptFunctionNotFound"


JSON_TYPES = {
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
    type(None): "null",
}
SHOWN = 60
MAX_DETAILS = 1000  # a body of nothing but mistakes is not worth more


def shown(value: object) -> str:
    """A value of a caller in a sentence: short, and in JSON's words."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | dict):
        return JSON_TYPES[type(value)]
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


@dataclass(slots=True)
class Offences:
    """What is wrong with one request: as much of it as an answer shows is kept, the others are only counted."""

    details: list[Detail] = field(default_factory=list)
    count: int = 0
    is_partial: bool = False  # reading ended before the request did

    @property
    def is_full(self) -> bool:
        return self.count >= MAX_DETAILS

    @property
    def others(self) -> str:
        """How many there are besides the first, for the end of a sentence."""
        least = "at least " if self.is_partial else ""
        return f" (and {least}{self.count - 1} more)" if self.count > 1 else ""

    def add(self, details: Iterable[Detail]) -> None:
        """Give a generator: what is not kept is then never held all at once."""
        for detail in details:
            self.count += 1
            if len(self.details) < MAX_DETAILS:
                self.details.append(detail)


def refused(offences: Offences) -> InvalidInput:
    """One sentence with the first offence, where it is and how many more there are."""
    first = offences.details[0]
    where = " ".join(f"{key} {shown(first[key])}" for key in ("instance", "field", "tensor") if key in first)
    return InvalidInput(f"{where}: {first['message']}{offences.others}", offences.details)
