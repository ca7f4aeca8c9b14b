"""What else an Endpoint says of its callers: which ones stay together, and which pages may call from a browser."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from wye_operator.api.base import Model, Rule, Text, Unique, one_of

# The key is gone before a request is routed, and what only the router may say is removed before that.
NO_CALLERS = ("authorization", "api-key", "cookie", "azureml-model-deployment")

HEADER_NAME = Text(
    pattern=r"^[A-Za-z][-A-Za-z0-9_]*$",
    most=64,
    sentence="the name of a header: letters, digits, '-' and '_', beginning with a letter, at most 64 characters",
)
COOKIE_NAME = Text(
    pattern=r"^[A-Za-z][-A-Za-z0-9_]*$",
    most=64,
    sentence="the name of a cookie: letters, digits, '-' and '_', beginning with a letter, at most 64 characters",
)
ORIGIN = Text(
    pattern=r"^(\*|https?://[a-z0-9]([-.a-z0-9]*[a-z0-9])?(:[0-9]{1,5})?)$",
    most=253,
    sentence="'*', or an origin as browsers send it: http:// or https://, a host in lower case and perhaps a port, "
    "without a path",
)
HeaderName = Annotated[str, HEADER_NAME]


def _tells_callers_apart(sticky: Sticky) -> bool:
    name = (sticky.header or "").lower()
    return name not in NO_CALLERS and not name.startswith(("x-wye-", "x-envoy-"))


class Sticky(Model):
    """By what a caller is known again: one of the two."""

    header: HeaderName | None = Field(
        default=None,
        description="A header that callers send, such as a customer's number. Without it: by weight.",
    )
    cookie: Annotated[str, COOKIE_NAME] | None = Field(
        default=None,
        description="A cookie. Who has none gets one, with a random value that says nothing.",
    )

    RULES: ClassVar[tuple[Rule, ...]] = (
        *one_of("header", "cookie", "must have header or cookie"),
        Rule(
            "header",
            f"!has(self.header) || !(self.header.lowerAscii() in {list(NO_CALLERS)} || "
            "self.header.lowerAscii().matches('^x-(wye|envoy)-'))",
            "must be a header that tells callers apart: this one never reaches the routes, or pins",
            _tells_callers_apart,
        ),
    )


class Cors(Model):
    """Which pages may call this Endpoint from a browser."""

    allow_origins: Annotated[list[Annotated[str, ORIGIN]], Field(min_length=1, max_length=50), Unique()] = Field(
        description="Where the pages come from; `*` is everywhere.",
    )
    allow_headers: Annotated[list[HeaderName], Field(max_length=50), Unique()] | None = Field(
        default=None,
        description="Headers that pages may send besides those of this API.",
    )
    max_age_seconds: int = Field(
        default=600, ge=0, le=86_400, description="How long a browser may remember the permission."
    )
