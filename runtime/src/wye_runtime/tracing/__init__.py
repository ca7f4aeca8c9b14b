"""Traces: whose trace a request belongs to, what is seen of one that is sampled, and the way to a collector (OTLP)."""

from wye_runtime.tracing.context import PARENT_LENGTH, TRACEPARENT, Context, context_of
from wye_runtime.tracing.tracer import Tracer
from wye_runtime.tracing.watch import Ended, Watch

__all__ = ["PARENT_LENGTH", "TRACEPARENT", "Context", "Ended", "Tracer", "Watch", "context_of"]
