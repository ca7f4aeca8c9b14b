"""Where an Endpoint's spans are sent, and of how many requests."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from wye_operator.api.base import Model, Percent, Text

PORT = "(6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[1-5][0-9]{4}|[1-9][0-9]{0,3})"
LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
COLLECTOR = Text(
    pattern=rf"^http://{LABEL}(\.{LABEL})*:{PORT}$",
    most=253,
    sentence="the address of a collector for OTLP over HTTP: http://, a host in lower case, ':' and a port, "
    "without a path, as in http://collector.observability:4318",
)


class Tracing(Model):
    """Spans of sampled requests, of routers and of our runtime, for an OpenTelemetry collector."""

    endpoint: Annotated[str, COLLECTOR] = Field(
        description="The collector (OTLP over HTTP). Spans are sent to `/v1/traces` there.",
    )
    sampling_percent: Percent = Field(
        default=1,
        description="Percent of the requests that come without a trace of their own, or with one that is not followed.",
    )
    caller_sampling_percent: Percent | None = Field(
        default=None,
        description="Percent of the requests sampled by their callers (`traceparent`) that are followed. With 100 a "
        "caller decides for itself. Absent: as `samplingPercent`.",
    )
