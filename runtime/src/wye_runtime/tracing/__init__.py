"""Traces: whose trace a request belongs to, what is seen of one that is sampled, and the way to a collector (OTLP)."""

from wye_runtime.tracing.context import TRACEPARENT, Context, context_of
from wye_runtime.tracing.tracer import Tracer
from wye_runtime.tracing.watch import Attributes, Watch

__all__ = ["TRACEPARENT", "Attributes", "Context", "Tracer", "Watch", "context_of"]
