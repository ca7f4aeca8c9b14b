"""What the process says of itself: JSON lines on stdout while it runs, and its last words where the kubelet looks."""

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson

from wye_runtime.errors import WyeError

log = logging.getLogger("wye")
LAST_WORDS_BYTES = 4096
OURS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", "color_message"}


class JsonLines(logging.Formatter):
    """Time, level, message, and the key-values that the call gave."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **{key: value for key, value in vars(record).items() if key not in OURS},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode()


def log_json() -> None:
    """Replaces all handlers of the process."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.root.handlers = [handler]
    logging.root.setLevel(logging.WARNING)
    logging.getLogger("wye").setLevel(logging.INFO)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # callers cannot write our log


def leave_words(path: Path | None, error: WyeError) -> None:
    """The reason and the sentence of an end, short enough for the kubelet; nothing where nobody looks."""
    if path is None:
        return
    message = error.message
    words = json.dumps({"reason": error.code, "message": message}).encode()
    while len(words) > LAST_WORDS_BYTES:
        message = message[: len(message) // 2] + "…"
        words = json.dumps({"reason": error.code, "message": message}).encode()
    try:
        path.write_bytes(words)
    except OSError as failure:
        log.warning("the last words could not be written", extra={"why": str(failure)})
