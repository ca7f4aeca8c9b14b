"""The process: two ports in one event loop, loading, ready, draining, and the exit code."""

from wye_runtime.app.lifetime import Listen, run

__all__ = ["Listen", "run"]
