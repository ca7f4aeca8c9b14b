"""The process: two ports in one event loop, loading, ready, draining, and the exit code."""

from wye_runtime.app.lifetime import Listen, run
from wye_runtime.app.logs import log_json
from wye_runtime.app.words import leave_words

__all__ = ["Listen", "leave_words", "log_json", "run"]
