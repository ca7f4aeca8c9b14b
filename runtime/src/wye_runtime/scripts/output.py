"""What a script prints, as lines of the log: with a time, and never between the lines of another thread."""

import io
import logging
import sys
import threading

log = logging.getLogger("wye.script")
LONGEST = 65_536


class Lines(io.TextIOBase):
    """In place of stdout or stderr."""

    encoding = "utf-8"

    def __init__(self, called: str) -> None:
        self.called = called
        self.begun = threading.local()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *whole, rest = (getattr(self.begun, "text", "") + text).split("\n")
        if len(rest) > LONGEST:
            whole, rest = [*whole, rest], ""
        self.begun.text = rest
        for line in whole:
            if line.strip():
                log.info(line, extra={"stream": self.called})
        return len(text)


def lines_to_log(level: int) -> None:
    """From now on; what scripts log by `logging` is in the log already, from this level on."""
    sys.stdout, sys.stderr = Lines("stdout"), Lines("stderr")
    logging.root.setLevel(level)
