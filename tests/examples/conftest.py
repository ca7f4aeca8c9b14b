"""Brings the examples to their tests: scripts as modules, and each example as a copy that no running twin holds."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
STARTS_WITHIN = 60.0


@dataclass(frozen=True, slots=True)
class Up:
    """An endpoint that `wye local up` serves."""

    url: str
    key: str

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"}


Starter = Callable[[Path], AbstractContextManager[Up]]


def script(example: str, name: str) -> ModuleType:
    """A script of an example as a module of its own name: two examples have a train.py."""
    folder = str(EXAMPLES / example)
    spec = importlib.util.spec_from_file_location(f"{example}_{name}", f"{folder}/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(folder)
    return module


def copied(example: str, folder: Path) -> Path:
    """The example's files without what a twin has left there."""
    shutil.copytree(EXAMPLES / example, folder, ignore=shutil.ignore_patterns(".wye", "__pycache__"))
    return folder


@pytest.fixture(scope="session")
def fraud_train() -> ModuleType:
    return script("fraud", "train")


@pytest.fixture(scope="session")
def fraud_transactions() -> ModuleType:
    return script("fraud", "transactions")


@pytest.fixture(scope="session")
def phishing_rows() -> ModuleType:
    return script("phishing", "rows")


@pytest.fixture(scope="session")
def phishing_train() -> ModuleType:
    """Skips the tests where the rows are not here and cannot be downloaded."""
    train = script("phishing", "train")
    try:
        train.phishing_rows()
    except train.NoRows as missing:
        pytest.skip(str(missing))
    return train


@pytest.fixture(scope="session")
def fraud(tmp_path_factory: pytest.TempPathFactory, fraud_train: ModuleType) -> Path:
    """A copy of examples/fraud with its models, freshly trained."""
    folder = copied("fraud", tmp_path_factory.mktemp("examples") / "fraud")
    fraud_train.train(folder / "models")
    return folder


@pytest.fixture(scope="session")
def shell() -> dict[str, str]:
    """An environment in which `python` and `wye` are this virtual environment's."""
    return dict(os.environ) | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


@pytest.fixture(scope="session")
def local_up(shell: dict[str, str]) -> Starter:
    """Runs `wye local up` on any free port while the context is open; it has to end well at the first SIGTERM."""

    @contextmanager
    def serving(folder: Path) -> Iterator[Up]:
        log = folder.with_suffix(".log")
        with log.open("wb") as output:
            command = ["wye", "local", "up", str(folder), "--port", "0"]
            process = subprocess.Popen(command, stdout=output, stderr=output, env=shell)
        try:
            yield ready(folder, process, log)
        finally:
            process.terminate()
            assert process.wait(30) == 0, log.read_text()

    return serving


def ready(folder: Path, process: subprocess.Popen[bytes], log: Path) -> Up:
    """Waits until the endpoint in the folder is Ready."""
    deadline = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        item = endpoint_of(folder / ".wye/status.json")
        if any((c["type"], c["status"]) == ("Ready", "True") for c in item["status"].get("conditions", ())):
            keys = folder / f".wye/keys/{item['metadata']['name']}.json"  # none where callers have tokens
            key = json.loads(keys.read_text())["primaryKey"] if keys.exists() else ""
            return Up(item["status"]["scoringUri"], key)
        time.sleep(0.05)
    raise AssertionError(f"{folder.name} did not become ready:\n{log.read_text()}")


def endpoint_of(status: Path) -> dict:
    items = json.loads(status.read_text())["items"] if status.exists() else []
    return next((item for item in items if item["kind"] == "Endpoint"), {"status": {}})
