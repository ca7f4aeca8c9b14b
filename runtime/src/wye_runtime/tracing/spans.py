"""From what was seen of requests to OTLP's spans as JSON: by the exporter's thread, of many requests at once."""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from wye_runtime.tracing.watch import Batch, Ended, Times

Attributes = Mapping[str, str | int | bool]
Span = dict[str, Any]
SERVER, INTERNAL, FAILED = 2, 1, 2  # OTLP's numbers: kinds of span, and a status
SAMPLED_FLAGS = 0x101  # of a link: sampled, and its parent may be elsewhere
NOTHING: Attributes = {}


def message(resource: Mapping[str, Any], requests: Sequence[Ended]) -> bytes:
    """OTLP's ExportTraceServiceRequest."""
    spans = [span for request in requests for span in Writer(request).spans()]
    scope = {"scope": {"name": "wye-runtime"}, "spans": spans}
    return orjson.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [scope]}]})


class Writer:
    """What one request's spans have in common."""

    def __init__(self, request: Ended) -> None:
        self.request = request
        self.trace = request.watch.trace
        self.epoch = request.clock - int(request.ended * 1e9)  # to add to its times
        self.own = new_span()

    def spans(self) -> Iterator[Span]:
        """The request's own span, and those of its parts."""
        request, watch = self.request, self.request.watch
        own = self.span(request.route, (request.began, request.ended), watch.parent, said_of(request), self.own)
        yield own | {"kind": SERVER, **({"status": {"code": FAILED}} if request.status >= 500 else {})}
        if watch.since and watch.until > watch.since:  # in between nothing was done for it
            yield self.part("queue", (watch.since, watch.until))
        if watch.decoding is not None:
            yield self.part("decode", watch.decoding)
        if watch.runs:
            more: Attributes = {"wye.runs": len(watch.runs)} if len(watch.runs) > 1 else NOTHING
            yield self.part("run", (watch.runs[0][0], watch.runs[-1][1]), attributes=more)
        for batch, place in watch.batches:
            yield from self.shared(batch, place)

    def shared(self, batch: Batch, place: int) -> Iterator[Span]:
        """A run in company, with links to how the other sampled requests see it."""
        if not batch.spans:
            batch.spans.extend(new_span() for _ in batch.traces)
        own = batch.spans[place]
        about = {"wye.batch.requests": len(batch.counts), "wye.batch.rows": sum(batch.counts)}
        links = [
            {"traceId": trace, "spanId": span, "flags": SAMPLED_FLAGS}
            for trace, span in zip(batch.traces, batch.spans, strict=True)
            if span != own
        ]
        yield self.part("batch", batch.times, attributes=about, span=own) | ({"links": links} if links else {})
        for times in batch.runs:
            yield self.part("run", times, own)

    def part(self, name: str, times: Times, parent: str = "", attributes: Attributes = NOTHING, span: str = "") -> Span:
        """A part of the request's time, or of the part that `parent` is."""
        return self.span(name, times, parent or self.own, attributes, span or new_span()) | {"kind": INTERNAL}

    def span(self, name: str, times: Times, parent: str, attributes: Attributes, span: str) -> Span:
        """One span by its id; 64-bit numbers are strings in protobuf's JSON."""
        began, ended = times
        return {
            "traceId": self.trace,
            "spanId": span,
            "parentSpanId": parent,
            "name": name,
            "startTimeUnixNano": str(self.epoch + int(began * 1e9)),
            "endTimeUnixNano": str(self.epoch + int(ended * 1e9)),
            "attributes": attributes_of(attributes),
        }


def said_of(request: Ended) -> Attributes:
    """What the request's own span says."""
    said: dict[str, str | int | bool] = {"http.route": request.route, "http.response.status_code": request.status}
    said["wye.request_id"] = request.id
    if request.is_copy:
        said["wye.mirrored"] = True
    return said


def new_span() -> str:
    """The id of a span."""
    return f"{random.getrandbits(64) or 1:016x}"


def attributes_of(given: Attributes) -> list[dict[str, Any]]:
    """As OTLP writes them."""
    return [{"key": key, "value": value_of(value)} for key, value in given.items()]


def value_of(value: str | int | bool) -> dict[str, Any]:  # noqa: FBT001 -- it is a value of the span
    """With its type."""
    if isinstance(value, bool):
        return {"boolValue": value}
    return {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value}
