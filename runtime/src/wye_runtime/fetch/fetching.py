"""The order of a fetch: look what is there, receive with patience, check, put in place."""

import hashlib
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from wye_runtime.errors import ModelDigestMismatch, ModelFetch
from wye_runtime.fetch.part import Part, part_in
from wye_runtime.fetch.remote import Answer, Changed, Interrupted, Remote

log = logging.getLogger("wye")
MODEL_FILE = "model.onnx"  # whatever the address calls it: the server finds it in the folder
LONGEST_PAUSE = 60.0
TOLD_EVERY = 5.0  # seconds between two lines about progress
WINDOW = 60.0  # seconds in which a transfer must move
LEAST = 64 << 10  # bytes in a window; less is as good as silence

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a server, and how often to come back."""

    silence: float = 30.0  # seconds without a byte
    retries: int = 5  # in a row that brought nothing new
    pause: float = 1.0  # before the first retry; doubled for each more


def fetch(uri: str, to: Path, sha256: str | None, credentials: Mapping[str, str], patience: Patience) -> Path:
    """The model's file, or a ModelFetch or ModelDigestMismatch; never a half file under its name."""
    remote = Remote(uri, credentials, patience.silence)
    target = to / MODEL_FILE
    if sha256 and is_there(target, sha256):
        log.info("already fetched", extra={"uri": remote.shown, "path": str(target), "sha256": sha256})
        return target
    began = time.monotonic()
    with part_in(to, MODEL_FILE) as part:
        receive(remote, part, patience)
        check(part, sha256, remote.shown)
        part.commit(target)
    seconds = round(time.monotonic() - began, 3)
    said = {"uri": remote.shown, "bytes": part.size, "sha256": part.sha256, "seconds": seconds}
    log.info("fetched", extra=said)
    return target


def is_there(target: Path, sha256: str) -> bool:
    """Whether an earlier run of this pod's init container has done the work."""
    try:
        with target.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256
    except OSError:
        return False


def check(part: Part, sha256: str | None, shown: str) -> None:
    if not part.size:
        raise ModelFetch(f"{shown} is empty (0 bytes)")
    if sha256 and part.sha256 != sha256:
        raise ModelDigestMismatch(
            f"{shown} has the sha256 {part.sha256} ({part.size} bytes), model.sha256 wants {sha256}"
        )


def receive(remote: Remote, part: Part, patience: Patience) -> None:
    """Transfers until the file is whole; what interrupts is tried again while each try brings something new."""
    failures, most = 0, 0
    while True:
        try:
            return transfer(remote, part)
        except Interrupted as why:
            if isinstance(why, Changed):
                part.validator = None
            failures = failures + 1 if part.size <= most else 1
            most = max(most, part.size)
            if failures > patience.retries:
                raise ModelFetch(f"{remote.shown}: {why} ({failures} tries, {part.size} bytes came)") from why
            pause = why.after or min(patience.pause * 2 ** (failures - 1), LONGEST_PAUSE)
            log.warning(
                "interrupted", extra={"uri": remote.shown, "why": str(why), "bytes": part.size, "retryIn": pause}
            )
            time.sleep(pause)


def transfer(remote: Remote, part: Part) -> None:
    """One answer of the server into the part, from where the part ends."""
    with remote.answer(part.size, part.validator) as answer:
        if answer.start and answer.validator != part.validator:
            raise Changed("the file changed meanwhile")
        part.take_up(answer.start, answer.validator)
        make_sure_of_room(part, answer)
        progress = Progress(remote.shown, answer.total, part.size)
        for chunk in answer.chunks():
            part.write(chunk)
            progress.note(part.size)
        if answer.total is not None and part.size != answer.total:
            raise Interrupted(f"the connection ended after {part.size} of {answer.total} bytes")


def make_sure_of_room(part: Part, answer: Answer) -> None:
    free = shutil.disk_usage(part.path.parent).free
    left = (answer.total or 0) - part.size
    if left > free:
        raise ModelFetch(f"the model has {answer.total} bytes, {part.path.parent} has room for {free}")


class Progress:
    """Says how far it is, and when it is too slow to be called alive."""

    def __init__(self, shown: str, total: int | None, size: int, clock: Clock = time.monotonic) -> None:
        self.shown, self.total, self.clock = shown, total, clock
        self.told = self.window = clock()
        self.size_then = size

    def note(self, size: int) -> None:
        now = self.clock()
        if now - self.told >= TOLD_EVERY:
            self.told = now
            log.info("fetching", extra={"uri": self.shown, "bytes": size, "of": self.total})
        if now - self.window >= WINDOW:
            if size - self.size_then < LEAST:
                raise Interrupted(f"only {size - self.size_then} bytes came in {WINDOW:.0f} s")
            self.window, self.size_then = now, size
