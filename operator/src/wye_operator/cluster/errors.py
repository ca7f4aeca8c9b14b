"""What the API server answers instead of what was asked for, as one family; `client` is the one place that maps it."""

from __future__ import annotations

import re

from wye_operator.errors import WyeError

# what no second try would mend, and is answered 500 all the same: a server-side apply that does not fit the schema, and
# what etcd finds too large
HOPELESS = re.compile(r"failed to create typed patch object|request is too large|message larger than max")
OF_A_ROLE = re.compile(r'User "[^"]*" cannot \S+ resource|because it is being terminated')


class ApiError(WyeError):
    """An answer that is no success. `retry_after`: seconds the server asks to wait, 0 where it says nothing."""

    def __init__(self, message: str, *, status: int = 0, reason: str = "", retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after


class NotFound(ApiError):
    """404: there is no such object, or no such kind."""


class Forbidden(ApiError):
    """401 and 403: the service account may not do this, or the namespace is being deleted."""


class Conflict(ApiError):
    """409: the object is there already, or changed since it was read."""


class Gone(ApiError):
    """410: a watch or a list is too old to go on."""


class Refused(ApiError):
    """400, 413 and 422, or a 500 that stays: the object is not as the API server wants it; its message says what."""


class TooMany(ApiError):
    """429: later."""


class Unavailable(ApiError):
    """5xx, no connection, no answer in time, or the session was closed for a new one: try again."""


BY_STATUS: dict[int, type[ApiError]] = {
    **{400: Refused, 401: Forbidden, 403: Forbidden, 404: NotFound},
    **{409: Conflict, 410: Gone, 413: Refused, 422: Refused, 429: TooMany},
}


def error_for(status: int, message: str, reason: str = "", retry_after: float = 0.0) -> ApiError:
    """The error of one HTTP status."""
    if status == 500 and HOPELESS.search(message):
        return Refused(message, status=status, reason=reason)
    kind = BY_STATUS.get(status, Unavailable if status >= 500 or status == 0 else ApiError)
    return kind(message, status=status, reason=reason, retry_after=retry_after)


def is_about_the_object(error: ApiError) -> bool:
    """Whether a write was refused for what it says: by validation, a quota or an admission policy, not by a role."""
    return isinstance(error, Refused) or (error.status == 403 and not OF_A_ROLE.search(str(error)))
