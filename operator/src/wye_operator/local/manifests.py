"""A folder of manifests, read as kubectl reads it, with file, line and field of every mistake.

Called by the twin and by every command that takes DIR. What one object cannot know (a Deployment that is not there)
is no mistake here: the planner makes a condition of it.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from wye_operator.api.base import OBJECT_NAME
from wye_operator.api.objects import Deployment, Endpoint
from wye_operator.api.validation import Invalid, parse
from wye_operator.errors import FieldProblem
from wye_operator.local.documents import Document, Documents, Node, read

SUFFIXES = (".yaml", ".yml", ".json")
KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml")
DATA_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
CONTENT_FIELDS = {
    "ConfigMap": ("apiVersion", "kind", "metadata", "immutable", "data", "binaryData"),
    "Secret": ("apiVersion", "kind", "metadata", "immutable", "data", "stringData", "type"),
}
DATA_FIELDS = {"ConfigMap": ("data", "binaryData"), "Secret": ("data", "stringData")}
BASE64_FIELDS = (("ConfigMap", "binaryData"), ("Secret", "data"))
NO_MANIFEST = "is no manifest: it has neither apiVersion nor kind"
AZURES_FIELDS = ("endpoint_name", "auth_mode")
MOST_NAMED = 3  # folders in a message
AZURES = "is a file of Azure Machine Learning and no manifest: docs/guides/azure-ml.md has its words as they are here"

FieldPath = tuple[str | int, ...]
T = TypeVar("T", Endpoint, Deployment)


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """What is wrong, and where: `line` 0 where there is none, `field` empty where it is not about one."""

    file: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return ": ".join(filter(None, (place, self.field, self.message)))


@dataclass(frozen=True, slots=True)
class Placed(Generic[T]):
    """An object, and where it stands."""

    value: T
    file: Path
    line: int
    node: Node = field(repr=False, compare=False)

    def line_at(self, *path: str | int) -> int:
        """The line of a field, or of the nearest one above it that is written."""
        return self.node.line_at(path)


@dataclass(frozen=True, slots=True)
class DataObject:
    """A ConfigMap or Secret: bytes by key. A Secret's must never be shown."""

    kind: Literal["ConfigMap", "Secret"]
    namespace: str
    name: str
    file: Path
    line: int
    entries: Mapping[str, bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, order=True)
class PassedOver:
    """Something that is not Wye's; `what` is its kind."""

    file: str
    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Manifests:
    """Everything that was read. With mistakes, the rest is not to be acted on."""

    endpoints: tuple[Placed[Endpoint], ...] = ()
    deployments: tuple[Placed[Deployment], ...] = ()
    configmaps: tuple[DataObject, ...] = ()
    secrets: tuple[DataObject, ...] = ()
    passed_over: tuple[PassedOver, ...] = ()
    mistakes: tuple[Mistake, ...] = ()


def read_manifests(*paths: Path) -> Manifests:
    """All objects of folders (their top level) and files, sorted by file; never raises for what stands in them."""
    reader = _Reader()
    for path in paths:
        reader.take(path)
    return reader.result(paths)


class _Reader:
    """Collects objects and mistakes from file to file."""

    def __init__(self) -> None:
        self._endpoints: list[Placed[Endpoint]] = []
        self._deployments: list[Placed[Deployment]] = []
        self._data_objects: list[DataObject] = []
        self._passed_over: list[PassedOver] = []
        self._mistakes: list[Mistake] = []
        self._places: dict[tuple[str, str, str], str] = {}
        self._files: set[str] = set()

    def take(self, path: Path) -> None:
        """Read a file, or the files of a folder."""
        try:
            if not path.exists():
                self._mistake(path, 0, (), "there is no such file or folder")
            elif path.is_dir():
                self._folder(path)
            else:
                self._file(path, named=True)
        except OSError as error:
            self._mistake(path, 0, (), f"cannot be read: {error.strerror}")

    def result(self, paths: Collection[Path]) -> Manifests:
        """What was read; nothing to serve is a mistake of its own where there is no other."""
        if not (self._endpoints or self._deployments or self._mistakes):
            places = ", ".join(str(path) for path in paths)
            self._mistakes.append(Mistake(places, 0, "", f"no Endpoint and no Deployment here{_below(paths)}"))
        return Manifests(
            tuple(self._endpoints),
            tuple(self._deployments),
            tuple(c for c in self._data_objects if c.kind == "ConfigMap"),
            tuple(c for c in self._data_objects if c.kind == "Secret"),
            tuple(sorted(self._passed_over)),
            tuple(sorted(self._mistakes)),
        )

    def _folder(self, folder: Path) -> None:
        for name in sorted(entry.name for entry in folder.iterdir()):
            if name in KUSTOMIZATIONS:
                self._passed_over.append(PassedOver(str(folder / name), 0, "Kustomization"))
            elif name.endswith(SUFFIXES) and not name.startswith("."):
                self._file(folder / name, named=False)

    def _file(self, file: Path, *, named: bool) -> None:
        real = os.path.realpath(file)
        if file.is_dir() or real in self._files:
            return
        self._files.add(real)
        if not (named or file.is_file()):  # a pipe that is named, such as /dev/stdin, is read
            self._mistake(file, 0, (), "is not a regular file")
            return
        text = self._text(file)
        if text is not None:
            documents = read(text)
            data = file.suffix == ".json" and not named and not any(_says_kind(d.node) for d in documents.documents)
            if data and not documents.flaws:
                self._passed_over.append(PassedOver(str(file), 0, "JSON without apiVersion and kind"))
            else:
                self._documents(file, documents)

    def _text(self, file: Path) -> str | None:
        """The text of a file, or None when it has none and the mistake is noted."""
        try:
            content = file.read_bytes()
            return content.decode("utf-8-sig")
        except OSError as error:
            self._mistake(file, 0, (), f"cannot be read: {error.strerror}")
        except UnicodeDecodeError as error:
            line = content.count(b"\n", 0, error.start) + 1
            self._mistake(file, line, (), "is not UTF-8 text; save the file as UTF-8")
        return None

    def _documents(self, file: Path, documents: Documents) -> None:
        for flaw in documents.flaws:
            self._mistake(file, flaw.line, flaw.path, flaw.message)
        for document in documents.documents:
            self._object(file, document)

    def _object(self, file: Path, document: Document) -> None:
        node = document.node
        if not isinstance(node.value, dict):
            message = "is not a map with apiVersion, kind, metadata and spec"
            self._mistake(file, node.line, (), message)
            return
        version, kind = (_text_in(node, name) for name in ("apiVersion", "kind"))
        if (version, kind) == ("v1", "List"):
            self._list(file, document)
        elif version == "v1" and (kind == "ConfigMap" or kind == "Secret"):
            self._content(file, node, "Secret" if kind == "Secret" else "ConfigMap")
        elif _is_ours(version, kind):
            self._ours(file, document)
        elif version is None or kind is None:
            missing = "apiVersion" if version is None else "kind"
            none = AZURES if _is_azures(node) else NO_MANIFEST
            message = none if version is kind is None else "is required in every manifest"
            path = () if version is kind is None else (missing,)
            self._mistake(file, node.line, path, message)
        else:
            self._passed_over.append(PassedOver(str(file), node.line, f"{kind} of {version}"))

    def _list(self, file: Path, document: Document) -> None:
        node = document.node
        items = node.below("items")
        if items is None or not isinstance(items.value, list):
            self._mistake(file, node.line_at(("items",)), ("items",), "must be a list of objects")
            return
        for place, item in enumerate(items.value):
            flawed = tuple(path[2:] for path in document.flawed if path[:2] == ("items", place))
            self._object(file, Document(item, flawed))

    def _ours(self, file: Path, document: Document) -> None:
        node = document.node
        try:
            found = parse(node.plain())
        except Invalid as invalid:
            for problem in invalid.problems:
                if not any(path[: len(problem.path)] == problem.path for path in document.flawed):
                    self._mistake(file, node.line_at(problem.path), problem.path, problem.message)
            return
        metadata = found.metadata
        self._once(file, node, (found.kind, metadata.namespace, metadata.name))
        if isinstance(found, Endpoint):
            self._endpoints.append(Placed(found, file, node.line, node))
        else:
            self._deployments.append(Placed(found, file, node.line, node))

    def _content(self, file: Path, node: Node, kind: Literal["ConfigMap", "Secret"]) -> None:
        problems, entries = [], {}
        for found in _entries_of(node, kind):
            if isinstance(found, FieldProblem):
                problems.append(found)
            else:
                entries[found[0]] = found[1]
        for problem in problems:
            self._mistake(file, node.line_at(problem.path), problem.path, problem.message)
        if not problems:
            metadata = node.plain()["metadata"]
            namespace, name = metadata.get("namespace") or "default", metadata["name"]
            self._once(file, node, (kind, namespace, name))
            self._data_objects.append(DataObject(kind, namespace, name, file, node.line, entries))

    def _once(self, file: Path, node: Node, identity: tuple[str, str, str]) -> None:
        """Note where an object stands; a second one of its kind and name is a mistake."""
        line = node.line_at(("metadata", "name"))
        kind, namespace, name = identity
        first = self._places.setdefault(identity, f"{file}:{line}")
        if first != f"{file}:{line}":
            where = f" in namespace {namespace}" if namespace != "default" else ""
            message = f"is a second {kind} named {name}{where}; the first stands in {first}"
            self._mistake(file, line, ("metadata", "name"), message)

    def _mistake(self, file: Path, line: int, path: FieldPath, message: str) -> None:
        self._mistakes.append(Mistake(str(file), line, FieldProblem(path, "").field, message))


def _below(paths: Collection[Path]) -> str:
    """Which folders below these have what could be manifests, for a sentence."""
    folders = sorted(each for path in paths if path.is_dir() for each in path.iterdir() if each.is_dir())
    named = [str(f) for f in folders if not f.name.startswith(".") and any(f.glob("*.y*ml"))]
    return f"; only the top level of a folder is read, so name {', '.join(named[:MOST_NAMED])}" if named else ""


def _is_azures(node: Node) -> bool:
    """By what only its files have: `$schema`, or a name with an underscore."""
    return "azureml" in (_text_in(node, "$schema") or "") or any(_text_in(node, name) for name in AZURES_FIELDS)


def _is_ours(version: str | None, kind: str | None) -> bool:
    """Whether it is, or was surely meant to be, one of Wye's kinds."""
    group = (version or "").partition("/")[0]
    return group.startswith("wye") or kind == "Endpoint" or (kind == "Deployment" and not version)


def _text_in(node: Node, name: str) -> str | None:
    child = node.below(name)
    return None if child is None or child.value is None else str(child.plain())


def _says_kind(node: Node) -> bool:
    return node.below("apiVersion") is not None or node.below("kind") is not None


def _entries_of(node: Node, kind: str) -> Iterator[tuple[str, bytes] | FieldProblem]:
    """The keys and bytes of a ConfigMap or Secret, and its problems; never a value in a message."""
    known = CONTENT_FIELDS[kind]
    plain: dict[str, Any] = node.plain()
    for name in plain:
        if name not in known:
            yield FieldProblem((name,), f"is not a field of a {kind}; its fields: {', '.join(known)}")
    yield from _metadata_problems(plain.get("metadata"))
    seen: set[str] = set()
    for name in DATA_FIELDS[kind]:
        for key, value in _data_of(plain, name):
            if kind == "ConfigMap" and key in seen:
                yield FieldProblem((name, key), "stands in data too; each key may stand once")
            seen.add(key)
            yield _entry((name, key), value, encoded=(kind, name) in BASE64_FIELDS)
        if not isinstance(plain.get(name) or {}, dict):
            yield FieldProblem((name,), "must be a map of keys and strings")


def _data_of(plain: dict[str, Any], name: str) -> Iterator[tuple[str, Any]]:
    data = plain.get(name)
    if isinstance(data, dict):
        yield from data.items()


def _metadata_problems(metadata: object) -> Iterator[FieldProblem]:
    if not isinstance(metadata, dict):
        yield FieldProblem(("metadata",), "is required: a map with the object's name")
        return
    name, namespace = metadata.get("name"), metadata.get("namespace")
    if not isinstance(name, str) or not re.fullmatch(OBJECT_NAME.pattern, name):
        yield FieldProblem(("metadata", "name"), f"must be {OBJECT_NAME.sentence}")
    if namespace is not None and not isinstance(namespace, str):
        yield FieldProblem(("metadata", "namespace"), "must be a string")


def _entry(path: tuple[str, str], value: object, *, encoded: bool) -> tuple[str, bytes] | FieldProblem:
    if not DATA_KEY.fullmatch(path[1]):
        message = "is no key to use here; must be letters, digits, '-', '_' and '.', at most 253 characters"
        return FieldProblem(path, message)
    if not isinstance(value, str):
        return FieldProblem(path, "must be a string: put it in quotes")
    if not encoded:
        return path[1], value.encode()
    try:
        return path[1], base64.b64decode(re.sub(r"[\r\n]", "", value), validate=True)
    except (binascii.Error, ValueError):
        plain = "data" if path[0] == "binaryData" else "stringData"
        return FieldProblem(path, f"is not base64; write it in base64, or as plain text in {plain}")
