"""The one script of this process and its state: loading, ready, draining; what `service.Service` is for a model."""

import logging
import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from wye_runtime.engine.artifact import digest_of
from wye_runtime.errors import DeviceLost, ModelDigestMismatch, ModelFetch, ModelNotReady
from wye_runtime.metrics import Metrics
from wye_runtime.scripts.output import lines_to_log
from wye_runtime.scripts.script import loaded
from wye_runtime.scripts.server import Server
from wye_runtime.scripts.settings import ScriptSettings, elsewhere, offer_variables
from wye_runtime.scripts.swagger import Swagger
from wye_runtime.scripts.threads import Threads
from wye_runtime.settings import Config, ModelSource, ScriptSource

log = logging.getLogger("wye")
AT_ONCE = 1  # Azure's own: scripts are seldom made for several threads


@dataclass(frozen=True, slots=True)
class Brought:
    """The model beside a script: what it is, and the folder that holds it."""

    folder: str = ""
    sha256: str = ""
    size: int = 0


class ScriptService:
    """Answers requests with one script."""

    def __init__(
        self,
        config: Config,
        source: ScriptSource,
        settings: ScriptSettings,
        metrics: Metrics,
        cache: Path | None = None,
    ) -> None:
        self.config = config
        self.cache = cache
        self.source = source
        self.settings = settings
        self.metrics = metrics
        self.server: Server | None = None
        self.model = Brought()
        self.is_draining = False
        self.lost: DeviceLost | None = None  # a script's devices are its own affair
        self.alarm: Callable[[], object] = lambda: None
        self.requests = 0
        count = config.request.maxConcurrentRequestsPerInstance or AT_ONCE
        self.threads = Threads(count, config.request.queue_wait, metrics)

    @property
    def not_ready(self) -> str | None:
        """Why no new traffic should come; None when ready."""
        if self.is_draining:
            return "draining"
        return None if self.server else "loading"

    def load(self) -> None:
        """Imports and initialises; blocks, so call it in a thread."""
        began = time.perf_counter()
        for name, instead in elsewhere().items():
            log.warning("a variable of Azure's server means nothing here", extra={"variable": name, "instead": instead})
        if self.config.model.path:
            self.model = brought(self.config.model, self.cache)
        folder = str(Path(self.source.folder).resolve())
        source = ScriptSource(folder, self.source.file)
        if Path(folder).is_dir():
            offer_variables(self.model.folder, folder)
        lines_to_log(self.settings.log_level)
        script = loaded(source)
        server = Server(script, Swagger(script, Path(folder), self.settings), self.settings)
        seconds = time.perf_counter() - began
        self.metrics.load_seconds = seconds
        extra = {"script": source.file, "slots": self.threads.slots.capacity, "ms": round(seconds * 1000, 1)}
        log.info("script loaded", extra=extra)
        self.server = server

    def current(self) -> Server:
        """The loaded script's, or ModelNotReady."""
        if self.server is None:
            raise ModelNotReady("the scoring script is still being initialised")
        return self.server

    def load_now(self) -> dict[str, int]:
        """The figures of GET /load."""
        slots = self.threads.slots
        waiting = len(slots.waiters)
        return {"active": slots.active, "queued": waiting, "capacity": slots.capacity, "requests": self.requests}

    def close(self) -> None:
        self.threads.close()


def brought(source: ModelSource, cache: Path | None = None) -> Brought:
    """Finds and checks the model; what is in it, only the script knows."""
    path = Path(source.path).resolve()
    try:
        files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        digest, size = digest_of(files, path), sum(each.stat().st_size for each in files)
    except OSError as error:
        raise ModelFetch(f"{source.uri or path} cannot be read: {error.strerror}") from error
    if source.sha256 and source.sha256 != digest:
        raise ModelDigestMismatch(f"{source.called} has the sha256 {digest}, model.sha256 wants {source.sha256}")
    return Brought(str(folder_with(path, name_of(source), digest, cache)), digest, size)


def name_of(source: ModelSource) -> str:
    """What the script calls it: as its owner does, wherever it was put and whatever it is called there."""
    last = (source.uri or source.path).rstrip("/").rpartition("/")[2]
    scheme = (source.uri or "").partition("://")[0]
    cut = {"hf": "@", "oci": "[:@]", "https": "[?#]"}.get(scheme)
    return re.split(cut, last)[0] if cut else last


def folder_with(path: Path, name: str, digest: str, cache: Path | None) -> Path:
    """The folder in which it has its name: its own, else one with a link."""
    if path.name == name or not name:
        return path.parent
    folder = Path(tempfile.mkdtemp()) if cache is None else cache / "models" / digest[:16]
    folder.mkdir(parents=True, exist_ok=True)
    link = folder / name
    link.unlink(missing_ok=True)
    link.symlink_to(path)
    return folder
