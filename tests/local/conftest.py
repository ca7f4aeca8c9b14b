"""A folder of manifests, and a twin on it with stub model servers behind the real Envoy."""

from __future__ import annotations

import json
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import yaml

from local.load import Load
from ports import free_port
from wye_operator.local.twin import Options, Twin

HERE = Path(__file__).parent
STUB = (sys.executable, "-S", "-E", str(HERE / "stub.py"))


class Words:
    """What the twin said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def progress(self, text: str) -> None:
        """Nothing to remember."""


class Manifests:
    """Writes objects and stub models into a folder, as a person would edit them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stub = folder / "stub"
        self.stub.mkdir()

    def write(self, file: str, *objects: dict) -> None:
        (self.folder / file).write_text(yaml.safe_dump_all(objects))

    def remove(self, file: str) -> None:
        (self.folder / file).unlink()

    def endpoint(self, name: str = "fraud", /, **spec) -> None:
        self.write(f"endpoint-{name}.yaml", self.object("Endpoint", name, spec))

    def deployment(self, name: str, /, *, endpoint: str = "fraud", model: dict | None = None, **spec) -> None:
        source = spec.pop("model_spec", {"uri": f"file://{name}.model"})
        base = {"endpointName": endpoint, "name": name, "model": source}
        base |= {"environmentVariables": {"STUB_DIR": str(self.stub)}}
        self.model(name, **(model or {"answer": name}))
        self.write(f"{name}.yaml", self.object("Deployment", f"{endpoint}-{name}", base | spec))

    def model(self, name: str, **model) -> None:
        fresh = self.folder / f".{name}.new"
        fresh.write_text(json.dumps(model))
        fresh.rename(self.folder / f"{name}.model")

    def object(self, kind: str, name: str, spec: dict) -> dict:
        return {"apiVersion": "wye.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec}

    def seen(self, name: str) -> list[int]:
        """The sizes of the bodies that a deployment's servers got."""
        file = self.stub / f"seen.{name}"
        return [int(line) for line in file.read_text().split()] if file.exists() else []


class Up:
    """A twin that runs, and the callers' view of it."""

    def __init__(self, twin: Twin, words: Words, port: int) -> None:
        self.twin, self.words, self.port = twin, words, port

    @property
    def key(self) -> dict[str, str]:
        keys = self.twin.keys("fraud")
        return {"authorization": f"Bearer {keys.primary}"} if keys else {}

    async def until(self, predicate, deadline: float = 60) -> None:
        try:
            await self.twin.wait_for(predicate, deadline)
        except TimeoutError:
            said = "\n".join(self.words.said + self.words.warned)
            raise AssertionError(f"never so; status {self.twin.status()}\nsaid {said}") from None

    async def traffic(self, text: str) -> None:
        """Wait until that split is in effect, everything is ready, and nothing moves."""
        await self.until(lambda s: s.ready and s.settled and s.endpoints["fraud"].traffic_text == text)

    @asynccontextmanager
    async def lossless(self):
        """Load for as long as the block takes; at its end no request may have been lost."""
        async with Load(self.port, self.key) as load:
            yield load
        assert load.failed == []

    def target(self, endpoint: str = "fraud"):
        return next(t for t in self.twin._targets.values() if t.name == endpoint)

    def processes(self, deployment: str) -> list:
        return [i.process for i in self.target().groups[deployment].instances if i.process]


@pytest.fixture
def manifests(tmp_path):
    folder = tmp_path / "dir"
    folder.mkdir()
    return Manifests(folder)


@pytest.fixture
def up(manifests):
    """Start a twin on the folder."""

    @asynccontextmanager
    async def start(**options):
        words, port = Words(), options.pop("port", None) or free_port()
        twin = Twin(manifests.folder, Options(**({"port": port, "program": STUB} | options)), words)
        async with twin:
            yield Up(twin, words, port)

    return start
