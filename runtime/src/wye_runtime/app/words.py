"""Last words: why this process cannot serve, where the kubelet and the operator look for it."""

import json
import logging
from pathlib import Path

from wye_runtime.errors import WyeError

log = logging.getLogger("wye")
LAST_WORDS_BYTES = 4096


def leave_words(path: Path | None, error: WyeError) -> None:
    """The reason and as much of the message as fits; nothing where nobody looks."""
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
