"""The folder of manifests while it is being edited: looked at in every pass, taken only when it is whole and right.

A folder with mistakes leaves the last good objects in force. A change counts once two looks in a row saw the same,
so that a file being written, or replaced by an editor, is not taken halfway.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from pathlib import Path

from wye_operator import settings
from wye_operator.api.objects import Deployment, Endpoint
from wye_operator.errors import Mistakes
from wye_operator.local.fetching import Fetches, Wanted
from wye_operator.local.lookup import (
    CONFIGMAP,
    FILE,
    deployments_of,
    endpoint_of,
    in_configmap,
    is_fetched,
    names_of,
    secret_of,
    source_of,
    tls_of,
    wanted_of,
)
from wye_operator.local.manifests import SUFFIXES, Manifests, Mistake, Placed, read_manifests
from wye_operator.local.models import Content, ModelStore, brought, digest_of, folder_digest
from wye_operator.local.state import Known, State, label
from wye_operator.local.target import Found

Stamp = tuple[tuple[str, int, int, int], ...]
Place = tuple[str, str, str]  # namespace and name of a Deployment, and the URI that its bytes come from
PATIENCE = 1.0  # seconds that the pass which begins to read a model waits for it: a small one is never "being read"


def read_folder(directory: Path) -> Manifests:
    """All objects of a folder. Raises Mistakes."""
    manifests = read_manifests(directory)
    if manifests.mistakes:
        raise Mistakes(manifests.mistakes)
    return manifests


@dataclass(eq=False)
class Folder:
    """The manifests of a twin, and the models that they lead to."""

    directory: Path
    state: State
    store: ModelStore
    fetches: Fetches
    program: tuple[str, ...] = ()  # of the model server, which fetches, too
    clock: float = 0.0  # when it was last taken: the age of new objects
    manifests: Manifests = field(default_factory=Manifests)
    changing: bool = False
    _taken: Stamp = ()
    _seen: Stamp = ()
    _contents: dict[Place, Content] = field(default_factory=dict)
    _reading: dict[Place, asyncio.Future[Content]] = field(default_factory=dict)

    def open(self, now: float) -> None:
        """Read it for the first time. Raises Mistakes."""
        self._taken = self._seen = _stamp(self.directory)
        self._take(read_folder(self.directory), now)

    def look(self, now: float) -> tuple[Mistake, ...] | None:
        """Take what was edited; None when nothing was, else the mistakes, which leave everything as it was."""
        before, self._seen = self._seen, _stamp(self.directory)
        self.changing = self._seen != self._taken
        if not self.changing or before != self._seen:
            return None
        self._taken, self.changing = self._seen, False
        found = read_manifests(self.directory)
        mistakes = found.mistakes or tuple(_immutable(self.manifests, found))
        if not mistakes:
            self._take(found, now)
        return mistakes

    def _take(self, manifests: Manifests, now: float) -> None:
        self.manifests, self.clock = manifests, now
        objects: list[Endpoint | Deployment] = [p.value for p in manifests.endpoints]
        objects += [p.value for p in manifests.deployments]
        self.state.keep_only(_key(of) for of in objects)
        self.state.keep_ports(label(*name) for name in self.names())

    async def fetch(self) -> None:
        """Keep a copy of every model as it is now; what takes longer goes on between passes."""
        wanted: set[Place] = set()
        before = set(self._reading)
        for placed in self.manifests.deployments:
            for uri in placed.value.spec.places.values():
                self._look(_place(placed, uri), placed, uri)
                wanted.add(_place(placed, uri))
        if self._reading:
            await asyncio.wait(self._reading.values(), timeout=PATIENCE if set(self._reading) - before else 0)
            self._collect()
        self._contents = {place: content for place, content in self._contents.items() if place in wanted}
        self.changing |= bool(self._reading)

    def _look(self, place: Place, placed: Placed[Deployment], uri: str) -> None:
        source = source_of(placed, uri)
        if is_fetched(uri):
            self._look_afar(place, placed, uri)
        elif source is None:
            self._contents[place] = self._from_manifest(placed.value, uri)
        elif place not in self._reading:
            self._look_at(place, source)

    def _look_at(self, place: Place, source: Path) -> None:
        content = self.store.current(source)
        if content is not None:
            self._contents[place] = content
        elif self.store.changing(source):
            self.changing = True
        else:
            self._reading[place] = _begin(self.store.read, source)

    def _look_afar(self, place: Place, placed: Placed[Deployment], uri: str) -> None:
        wanted = wanted_of(self.manifests, placed, uri)
        if isinstance(wanted, str):
            self._contents[place] = Content(problem=wanted)
            return
        content = self.fetches.current(wanted)
        if content is not None:
            self._contents[place] = content
        elif place not in self._reading:
            self._reading[place] = asyncio.ensure_future(self.fetches.read(wanted, self.program))

    def _collect(self) -> None:
        for place, task in list(self._reading.items()):
            if task.done():
                del self._reading[place]
                self._contents[place] = task.result()

    def sweep(self, used: Iterable[Path]) -> None:
        """Remove copies that nobody uses and no Deployment leads to."""
        paths, deployments = list(used), self.manifests.deployments
        named = [(placed, uri) for placed in deployments for uri in placed.value.spec.places.values()]
        self.store.sweep(paths, {source for placed, uri in named if (source := source_of(placed, uri))})
        wanted = (wanted_of(self.manifests, placed, uri) for placed, uri in named if is_fetched(uri))
        self.fetches.sweep(paths, (each for each in wanted if isinstance(each, Wanted)))

    async def close(self) -> None:
        """Give up what is being read: a disk that does not answer must not keep a twin from ending."""
        for reading in self._reading.values():
            reading.cancel()
        await asyncio.gather(*self._reading.values(), return_exceptions=True)
        self._reading.clear()

    def _from_manifest(self, deployment: Deployment, uri: str) -> Content:
        if not uri.startswith(CONFIGMAP):
            return Content()  # of a cluster: the planner says that it cannot be read here
        found = in_configmap(self.manifests, deployment.metadata.namespace, uri)
        if isinstance(found, str):
            return Content(problem=found)
        return self.store.text(*found.popitem()) if _is_entry(uri) else self.store.texts(found)

    def names(self) -> list[tuple[str, str]]:
        """Namespace and name of every Endpoint that is there or spoken of."""
        return names_of(self.manifests)

    def found(self, namespace: str, name: str) -> Found:
        """What it has for an Endpoint's name."""
        endpoint = endpoint_of(self.manifests, namespace, name)
        return Found(
            endpoint=(endpoint, self._known(endpoint)) if endpoint else None,
            deployments=tuple(
                (p.value, self._known(p.value), self._content(p))
                for p in deployments_of(self.manifests, namespace, name)
            ),
            secret=secret_of(self.manifests, endpoint),
            tls=tls_of(self.manifests, endpoint, settings.now()),
        )

    def _content(self, placed: Placed[Deployment]) -> Content:
        """What is known of its URIs as they are now: while one is read for the first time, nothing."""

        def known(uri: str) -> Content:
            return self._contents.get(_place(placed, uri), Content(problem=f"reading {uri.removeprefix(FILE)}"))

        return brought(placed.value.spec, known)

    def _known(self, of: Endpoint | Deployment) -> Known:
        spec = of.spec.model_dump(mode="json", by_alias=True)
        return self.state.known(_key(of), spec, self.clock)


def _begin(read: Callable[[Path], Content], source: Path) -> asyncio.Future[Content]:
    """Read in a thread that ends with the process, as no pool's thread does."""
    reading: futures.Future[Content] = futures.Future()

    def run() -> None:
        reading.set_running_or_notify_cancel()
        try:
            reading.set_result(read(source))
        except Exception as error:  # noqa: BLE001  whoever waits gets it
            reading.set_exception(error)

    threading.Thread(target=run, name=f"reading {source.name}", daemon=True).start()
    return asyncio.wrap_future(reading)


def content_of(manifests: Manifests, placed: Placed[Deployment]) -> Content:
    """What a Deployment's URIs lead to, without keeping a copy."""
    return brought(placed.value.spec, lambda uri: _read(manifests, placed, uri))


def _read(manifests: Manifests, placed: Placed[Deployment], uri: str) -> Content:
    source = source_of(placed, uri)
    if source is not None:
        return digest_of(source)
    if not uri.startswith(CONFIGMAP):
        return Content()
    found = in_configmap(manifests, placed.value.metadata.namespace, uri)
    if isinstance(found, str):
        return Content(problem=found)
    if not _is_entry(uri):
        return Content(folder_digest(found), Path(uri.removeprefix(CONFIGMAP)))
    key, data = found.popitem()
    return Content(ModelStore.digest(data), Path(key))


def _is_entry(uri: str) -> bool:
    """Of a ConfigMap, not all of it."""
    return "/" in uri.removeprefix(CONFIGMAP)


def _immutable(old: Manifests, new: Manifests) -> Iterator[Mistake]:
    """What the API server would refuse: a Deployment that moves to another Endpoint or name."""
    before = {_key(p.value): p.value.spec for p in old.deployments}
    for placed in new.deployments:
        was, now = before.get(_key(placed.value)), placed.value.spec
        if was is None:
            continue
        for name, old_value, value in (
            ("endpointName", was.endpoint_name, now.endpoint_name),
            ("name", was.name, now.name),
        ):
            if old_value != value:
                message = f"cannot change from {old_value} to {value}: give the Deployment another metadata.name"
                yield Mistake(str(placed.file), placed.line_at("spec", name), f"spec.{name}", message)


def _place(placed: Placed[Deployment], uri: str) -> Place:
    metadata = placed.value.metadata
    return metadata.namespace, metadata.name, uri


def _key(of: Endpoint | Deployment) -> str:
    return f"{of.kind}/{of.metadata.namespace}/{of.metadata.name}"


def _stamp(directory: Path) -> Stamp:
    paths = sorted(directory.iterdir()) if directory.is_dir() else ()
    return tuple(_stamp_of(p) for p in paths if p.name.endswith(SUFFIXES) and not p.name.startswith("."))


def _stamp_of(path: Path) -> tuple[str, int, int, int]:
    try:
        status = path.stat()
    except OSError:  # it has just gone, or is a link that leads nowhere: what that means, reading it will say
        return path.name, 0, 0, 0
    return path.name, status.st_size, status.st_mtime_ns, status.st_ino
