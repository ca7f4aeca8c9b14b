"""The process: two ports in one event loop (and gRPC's own, where asked for), loading, ready, draining, exit code."""

from wye_runtime.app.calls_port import library
from wye_runtime.app.lifetime import Listen, run

__all__ = ["Listen", "library", "run"]
