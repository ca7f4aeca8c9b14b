"""The folder of manifests while it is being edited: looked at in every pass, taken only when it is whole and right.

A folder with mistakes leaves the last good objects in force. A change counts once two looks in a row saw the same,
so that a file being written, or replaced by an editor, is not taken halfway.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from wye_operator.api.endpoint import EndpointSpec
from wye_operator.api.objects import Deployment, Endpoint
from wye_operator.errors import WyeError
from wye_operator.local.manifests import SUFFIXES, DataObject, Manifests, Mistake, Placed, read_manifests
from wye_operator.local.models import Content, ModelStore, digest_of
from wye_operator.local.state import Known, State
from wye_operator.local.target import Found
from wye_operator.plan.names import PRIMARY_KEY, SECONDARY_KEY
from wye_operator.plan.world import Keys

Stamp = tuple[tuple[str, int, int, int], ...]
FILE = "file://"
SHORT = 0.2  # seconds that a pass waits for a model to be read


class Mistakes(WyeError):
    """What is wrong with a folder: one line for each mistake."""

    def __init__(self, mistakes: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(str(mistake) for mistake in mistakes))


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
    clock: float = 0.0  # when it was last taken: the age of new objects
    manifests: Manifests = field(default_factory=Manifests)
    changing: bool = False
    _taken: Stamp = ()
    _seen: Stamp = ()
    _contents: dict[tuple[str, str], Content] = field(default_factory=dict)
    _reading: dict[tuple[str, str], asyncio.Task[Content]] = field(default_factory=dict)

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

    async def fetch(self) -> None:
        """Keep a copy of every model as it is now; what takes longer goes on between passes."""
        wanted: set[tuple[str, str]] = set()
        for placed in self.manifests.deployments:
            key = (placed.value.metadata.namespace, placed.value.metadata.name)
            wanted.add(key)
            source = _source(placed)
            if source is None:
                self._contents[key] = self._from_manifest(placed.value)
            elif key not in self._reading:
                self._look_at(key, source)
        self._contents = {key: content for key, content in self._contents.items() if key in wanted}
        if self._reading:
            await asyncio.wait(self._reading.values(), timeout=SHORT)
            self._collect()
        self.changing |= bool(self._reading)

    def _look_at(self, key: tuple[str, str], source: Path) -> None:
        content = self.store.current(source)
        if content is not None:
            self._contents[key] = content
        elif self.store.changing(source):
            self.changing = True
        else:
            self._contents.setdefault(key, Content(problem=f"{source} is still being read"))
            self._reading[key] = asyncio.create_task(asyncio.to_thread(self.store.read, source))

    def _collect(self) -> None:
        for key, task in list(self._reading.items()):
            if task.done():
                del self._reading[key]
                self._contents[key] = task.result()

    async def close(self) -> None:
        """Wait for what is being read."""
        await asyncio.gather(*self._reading.values(), return_exceptions=True)

    def _from_manifest(self, deployment: Deployment) -> Content:
        if not _is_in_configmap(deployment):
            return Content()  # of a cluster: the planner says that it cannot be read here
        name, key, data = _configmap(self.manifests, deployment)
        if data is None:
            return Content(problem=_no_entry(self.manifests, deployment, name, key))
        return self.store.text(key, data)

    def names(self) -> set[tuple[str, str]]:
        """Namespace and name of every Endpoint that is there or spoken of."""
        endpoints = {(p.value.metadata.namespace, p.value.metadata.name) for p in self.manifests.endpoints}
        deployments = {(p.value.metadata.namespace, p.value.spec.endpoint_name) for p in self.manifests.deployments}
        return endpoints | deployments

    def found(self, namespace: str, name: str) -> Found:
        """What it has for an Endpoint's name."""
        endpoint = next((p.value for p in self.manifests.endpoints if _is(p.value, namespace, name)), None)
        keys, problem = named_keys(self.manifests, endpoint)
        return Found(
            endpoint=(endpoint, self._known(endpoint)) if endpoint else None,
            deployments=tuple(
                (d, self._known(d), self._contents.get((namespace, d.metadata.name), Content(problem="not read yet")))
                for d in deployments_of(self.manifests, namespace, name)
            ),
            keys=keys,
            keys_problem=problem,
        )

    def _known(self, of: Endpoint | Deployment) -> Known:
        spec = of.spec.model_dump(mode="json", by_alias=True)
        return self.state.known(_key(of), spec, self.clock)


def deployments_of(manifests: Manifests, namespace: str, name: str) -> list[Deployment]:
    """The Deployments of an Endpoint's name."""
    return [
        p.value
        for p in manifests.deployments
        if p.value.metadata.namespace == namespace and p.value.spec.endpoint_name == name
    ]


def content_of(manifests: Manifests, placed: Placed[Deployment]) -> Content:
    """What a model's URI leads to, without keeping a copy."""
    source = _source(placed)
    if source is not None:
        return digest_of(source)
    if not _is_in_configmap(placed.value):
        return Content()
    name, key, data = _configmap(manifests, placed.value)
    if data is None:
        return Content(problem=_no_entry(manifests, placed.value, name, key))
    return Content(digest=ModelStore.digest(data), path=Path(key))


def named_keys(manifests: Manifests, endpoint: Endpoint | None) -> tuple[Keys | None, str]:
    """The keys of the Secret that the Endpoint names, or why there are none."""
    spec: EndpointSpec | None = endpoint.spec if endpoint else None
    if endpoint is None or spec is None or spec.keys is None or spec.keys.secret_name is None:
        return None, ""
    name, namespace = spec.keys.secret_name, endpoint.metadata.namespace
    secret = _entries(manifests.secrets, namespace, name)
    if secret is None:
        return None, f"there is no Secret {name} in the folder"
    try:
        primary, secondary = (secret[key].decode() for key in (PRIMARY_KEY, SECONDARY_KEY))
    except KeyError as missing:
        return None, f"Secret {name} has no {missing.args[0]}"
    except UnicodeDecodeError:
        return None, f"a key in Secret {name} is not text"
    if not primary or not secondary:
        return None, f"a key in Secret {name} is empty"
    return Keys(primary, secondary), ""


def _source(placed: Placed[Deployment]) -> Path | None:
    uri = placed.value.spec.model.uri
    return placed.file.parent / uri.removeprefix(FILE) if uri.startswith(FILE) else None


def _is_in_configmap(deployment: Deployment) -> bool:
    return deployment.spec.model.uri.startswith("configmap://")


def _configmap(manifests: Manifests, deployment: Deployment) -> tuple[str, str, bytes | None]:
    name, _, key = deployment.spec.model.uri.removeprefix("configmap://").partition("/")
    entries = _entries(manifests.configmaps, deployment.metadata.namespace, name)
    return name, key, None if entries is None else entries.get(key)


def _no_entry(manifests: Manifests, deployment: Deployment, name: str, key: str) -> str:
    if _entries(manifests.configmaps, deployment.metadata.namespace, name) is None:
        return f"there is no ConfigMap {name} in the folder"
    return f"ConfigMap {name} has no key {key}"


def _entries(objects: tuple[DataObject, ...], namespace: str, name: str) -> dict[str, bytes] | None:
    found = next((o for o in objects if (o.namespace, o.name) == (namespace, name)), None)
    return None if found is None else dict(found.entries)


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


def _is(of: Endpoint, namespace: str, name: str) -> bool:
    return of.metadata.namespace == namespace and of.metadata.name == name


def _key(of: Endpoint | Deployment) -> str:
    return f"{of.kind}/{of.metadata.namespace}/{of.metadata.name}"


def _stamp(directory: Path) -> Stamp:
    entries = []
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if path.name.endswith(SUFFIXES) and not path.name.startswith("."):
            status = path.stat()
            entries.append((path.name, status.st_size, status.st_mtime_ns, status.st_ino))
    return tuple(entries)
