"""The models that instances load: found, hashed and kept under their digest, as an init container does for a pod.

An instance loads a copy whose bytes are what its revision says, so a file that is overwritten, or half written, harms
nobody who serves: it becomes another revision. A file is read again only when its size, time or inode changed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from wye_operator.api.deployment import DeploymentSpec
from wye_operator.api.status import Reason
from wye_operator.local import files
from wye_operator.local.state import FOLDER as STATE_FOLDER

Stamp = tuple[tuple[str, int, int, int], ...]
CHUNK = 1 << 20
MOST_FILES = 10_000  # in a model's folder: every pass looks at each


@dataclass(frozen=True, slots=True)
class Content:
    """What a Deployment's URIs lead to: a digest and, where it is kept, the path to load; or why one leads nowhere."""

    digest: str = ""
    path: Path | None = None
    problem: str = ""
    code: Path | None = None  # the folder of a scoring script
    reason: Reason = Reason.MODEL_FETCH  # of the problem


class NotRegular(OSError):
    """A device, a socket or a FIFO: opening one may wait for ever."""


class TooMany(OSError):
    """A folder that takes too long to look at."""


def digest_of(source: Path) -> Content:
    """Hash a file or a folder without keeping it."""
    try:
        return Content(_hash(source, stamp(source), None), source)
    except OSError as error:
        return Content(problem=_problem(source, error))


class ModelStore:
    """The copies under one folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._state = folder.parent
        self._known: dict[Path, tuple[Stamp, Content]] = {}
        self._last: dict[Path, Stamp] = {}
        self._lock = threading.Lock()

    def current(self, source: Path) -> Content | None:
        """What is known of a file or folder as it is now; None when it has to be read."""
        try:
            seen = stamp(source, self._state)
        except OSError as error:
            self._known.pop(source, None)
            return Content(problem=_problem(source, error))
        stamped, content = self._known.get(source, ((), Content()))
        return content if stamped == seen and content.path and content.path.exists() else None

    def changing(self, source: Path) -> bool:
        """Whether the file is being written: it differs from what is kept and from what the last look saw."""
        try:
            seen = stamp(source, self._state)
        except OSError:
            return False
        last = self._last.get(source, seen)
        self._last[source] = seen
        return source in self._known and seen != last

    def read(self, source: Path) -> Content:
        """Keep a copy of a file or folder as it is now. May take long: call it in a thread."""
        with self._lock:
            try:
                seen = stamp(source, self._state)
                content = self._keep(source, seen)
                if stamp(source, self._state) == seen:
                    self._known[source] = (seen, content)
            except OSError as error:
                return Content(problem=_problem(source, error))
            return content

    def text(self, name: str, data: bytes) -> Content:
        """The kept copy of bytes that stand in a manifest."""
        digest = self.digest(data)
        path = self._place(digest, Path(name))
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            files.write(path, data)
        return Content(digest, path)

    def texts(self, entries: Mapping[str, bytes]) -> Content:
        """The kept copy of a folder that stands in a manifest."""
        digest = folder_digest(entries)
        path = self._place(digest, Path("folder"))
        if not path.exists():
            self._folder.mkdir(parents=True, exist_ok=True)
            fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))
            (fresh / path.name).mkdir()
            for name, data in entries.items():
                (fresh / path.name / name).write_bytes(data)
            fresh.rename(path.parent)
        return Content(digest, path)

    @staticmethod
    def digest(data: bytes) -> str:
        """Identity of bytes."""
        return hashlib.sha256(data).hexdigest()

    def sweep(self, used: Iterable[Path], sources: Set[Path]) -> None:
        """Forget copies that nobody loads and none of `sources` has any more; not while one is being made."""
        if not self._folder.exists() or not self._lock.acquire(blocking=False):
            return
        try:
            self._known = {source: known for source, known in self._known.items() if source in sources}
            self._last = {source: last for source, last in self._last.items() if source in sources}
            keep = {path.parent for path in used}
            keep |= {c.path.parent for _, c in self._known.values() if c.path}
            for folder in set(self._folder.iterdir()) - keep:
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            self._lock.release()

    def _keep(self, source: Path, seen: Stamp) -> Content:
        self._folder.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=self._folder))  # nobody waits for a reader: one may be left
        digest = _hash(source, seen, fresh / f"model{source.suffix}")
        final = self._place(digest, source)
        if not final.exists():
            shutil.rmtree(final.parent, ignore_errors=True)
            fresh.rename(final.parent)
        return Content(digest, final)

    def _place(self, digest: str, source: Path) -> Path:
        """By digest and kind: the same bytes under two names are one copy."""
        return self._folder / f"{digest[:16]}{source.suffix}" / f"model{source.suffix}"


def folder_digest(entries: Mapping[str, bytes]) -> str:
    """Identity of a folder that stands in a manifest."""
    lines = (f"{ModelStore.digest(data)}  {name}\n" for name, data in sorted(entries.items()))
    return ModelStore.digest("".join(lines).encode())


def brought(spec: DeploymentSpec, content_of: Callable[[str], Content]) -> Content:
    """What all URIs of a Deployment lead to, as one."""
    model = content_of(spec.model.uri) if spec.model else Content()
    if spec.code_configuration is None:
        return model
    code = content_of(spec.code_configuration.code)
    problem = model.problem or code.problem
    if code.path is not None and spec.code_configuration.code.startswith("https://"):
        code = replace(code, path=_alone(code.path, spec.code_configuration.scoring_script))
    if code.path is not None and code.path.is_file():
        problem = f"codeConfiguration.code is a file, {spec.code_configuration.code}: want the folder that it is in"
    if problem:
        return Content(problem=problem, reason=(model if model.problem else code).reason)
    return Content(model.digest + code.digest, model.path, code=code.path)


def _alone(file: Path, script: str) -> Path:
    """A folder in which a script that came alone has its name."""
    folder = file.parent / "code"
    link = folder / script
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to(file)
    return folder


def stamp(source: Path, state: Path | None = None) -> Stamp:
    """What tells that a file or a folder changed, without reading it; the state folder is no part of it."""
    stamps = []
    for path in _members(source, state):
        status = path.stat()
        name = str(path.relative_to(source))
        stamps.append((name, status.st_size, status.st_mtime_ns, status.st_ino))
    return tuple(stamps)


def _members(source: Path, state: Path | None) -> list[Path]:
    if source.is_dir():
        return sorted(_walk(source, _inside(source, state)))
    _check_regular(source.stat())
    return [source]


def _inside(source: Path, state: Path | None) -> Path | None:
    """Where a walk of `source` meets the state folder, whatever links lead to either."""
    real, whole = state and state.resolve(), source.resolve()
    return source / real.relative_to(whole) if real and real.is_relative_to(whole) else None


def _walk(source: Path, state: Path | None) -> Iterator[Path]:
    """All files; not those of a state folder, which has copies of models, this one's too, and logs that grow."""
    folders, count = [source], 0
    while folders:
        with os.scandir(folders.pop()) as entries:
            for entry in entries:
                path, count = Path(entry.path), count + 1
                if count > MOST_FILES:
                    raise TooMany
                if entry.name == STATE_FOLDER or path == state:
                    continue
                if entry.is_dir(follow_symlinks=False):
                    folders.append(path)
                elif entry.is_file():
                    yield path


def _check_regular(status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise NotRegular


def _hash(source: Path, seen: Stamp, target: Path | None) -> str:
    """The digest of a file, or of a folder's names and digests; copies to `target` what it hashes."""
    if not source.is_dir():
        return _hash_file(source, target)
    whole = hashlib.sha256()
    for name, *_ in seen:
        part = _hash_file(source / name, target and target / name)
        whole.update(f"{part}  {name}\n".encode())
    return whole.hexdigest()


def _hash_file(source: Path, target: Path | None) -> str:
    with open(source, "rb", opener=files.open_at_once) as file:
        _check_regular(os.fstat(file.fileno()))
        if target is None:
            return hashlib.file_digest(file, "sha256").hexdigest()
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as copy:
            return _copy(file, copy)


def _copy(file: BinaryIO, copy: BinaryIO) -> str:
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
        copy.write(chunk)
    return digest.hexdigest()


def _problem(source: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return f"there is no file {source}"
    if isinstance(error, NotRegular):
        return f"{source} is not a regular file"
    if isinstance(error, TooMany):
        most = f"{MOST_FILES:,} files and folders"
        return f"{source} has more than {most}: a model's folder has only what the model needs"
    return f"{source} cannot be read: {error.strerror}"
