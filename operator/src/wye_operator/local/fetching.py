"""Models that are fetched: the twin runs the program of a pod's init container, `wye-runtime fetch`, with its Secret.

What came once stays while this twin runs, as it does in a pod. What did not come is asked for again, later each time,
and at once when the manifest or the Secret changed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from wye_operator.api.status import Reason
from wye_operator.local import files
from wye_operator.local.models import Content
from wye_operator.local.processes import Command, Process
from wye_operator.plan.masking import masked

FIRST_PAUSE, LONGEST_PAUSE = 10.0, 300.0  # seconds, as the kubelet's
FILE = "model.onnx"  # what a fetch from https:// leaves in its folder; others leave the folder
DOCKER_CONFIG = ".dockerconfigjson"  # of a docker-registry Secret: no name for a variable
WORDS = {Reason.MODEL_DIGEST_MISMATCH.value: Reason.MODEL_DIGEST_MISMATCH}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a Deployment wants to be fetched; `entries` are its Secret's."""

    name: str
    uri: str
    sha256: str
    entries: Mapping[str, str] = field(repr=False)

    @property
    def key(self) -> str:
        """The same model, whoever may read it."""
        return hashlib.sha256(f"{self.name}\n{self.uri}\n{self.sha256}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the last fetch gave; of one that failed also when the next may begin, and how many failed before."""

    content: Content
    entries: Mapping[str, str] = field(repr=False)
    failures: int = 0
    not_before: float = 0.0


class Fetches:
    """The fetched models under one folder."""

    def __init__(self, folder: Path, logs: Path, clock: Callable[[], float]) -> None:
        self._folder, self._logs, self._clock = folder, logs, clock
        self._known: dict[str, Outcome] = {}

    def current(self, wanted: Wanted) -> Content | None:
        """What is known; None when it should be fetched now."""
        known = self._known.get(wanted.key)
        if known is None:
            return None
        if known.content.path is not None:
            return known.content
        return known.content if known.entries == wanted.entries and self._clock() < known.not_before else None

    async def read(self, wanted: Wanted, program: tuple[str, ...]) -> Content:
        """Fetch it. Ends the program when it is cancelled."""
        place = self._folder / wanted.key
        words = place / "words.json"
        place.mkdir(parents=True, exist_ok=True)
        words.unlink(missing_ok=True)
        sha256 = ("--sha256", wanted.sha256) if wanted.sha256 else ()
        argv = (*program, "fetch", "--uri", wanted.uri, "--to", str(place / "model"), *sha256)
        log = self._logs / f"{wanted.name}-fetch.log"
        process = await Process.start(Command(argv, _environment(wanted, words), log), lambda: None)
        try:
            await process.gone()
        finally:
            if process.exit_code is None:  # the twin ends, or nobody wants it any more
                process.kill()
                await process.gone()
        content = _came(place / "model", wanted, log) if process.exit_code == 0 else _failed(words, wanted, process)
        return self._keep(wanted, content)

    def _keep(self, wanted: Wanted, content: Content) -> Content:
        known = self._known.get(wanted.key)
        failures = (known.failures if known and known.entries == wanted.entries else 0) + 1
        pause = min(FIRST_PAUSE * 2.0 ** (min(failures, 10) - 1), LONGEST_PAUSE)
        if content.path is None:
            told = f"{content.problem}; asked again in {pause:.0f} s"
            content = Content(problem=told, reason=content.reason)
        self._known[wanted.key] = Outcome(content, wanted.entries, failures, self._clock() + pause)
        return content

    def sweep(self, used: Iterable[Path], wanted: Iterable[Wanted]) -> None:
        """Remove what nobody loads and no Deployment wants any more."""
        keys = {each.key for each in wanted}
        self._known = {key: known for key, known in self._known.items() if key in keys}
        kept = keys | {path.relative_to(self._folder).parts[0] for path in used if path.is_relative_to(self._folder)}
        for folder in self._folder.iterdir() if self._folder.exists() else ():
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)


def _environment(wanted: Wanted, words: Path) -> dict[str, str]:
    entries = {name: value for name, value in wanted.entries.items() if name != DOCKER_CONFIG}
    config = wanted.entries.get(DOCKER_CONFIG)
    return {
        **entries,
        **({"WYE_FETCH_DOCKERCONFIG": config} if config else {}),
        "WYE_TERMINATION_LOG": str(words),
    }


def _came(folder: Path, wanted: Wanted, log: Path) -> Content:
    path = folder / FILE if wanted.uri.startswith("https://") else folder
    return Content(digest_told(log), path)


def digest_told(log: Path) -> str:
    """The sha256 in the last line of a fetch's log that has one."""
    for line in reversed(log.read_text(errors="replace").splitlines()):
        try:
            return str(json.loads(line)["sha256"])
        except (ValueError, KeyError, TypeError):
            continue
    return ""


def _failed(words: Path, wanted: Wanted, process: Process) -> Content:
    """Its last words, without the Secret; what left none has the end of its log."""
    try:
        left = files.read_json(words) or {}
        message = masked(str(left["message"]), wanted.entries.values())
        return Content(problem=message, reason=WORDS.get(str(left["reason"]), Reason.MODEL_FETCH))
    except (ValueError, KeyError, TypeError):
        return Content(problem=f"{wanted.uri} could not be fetched: {process.last_lines(1)}")
