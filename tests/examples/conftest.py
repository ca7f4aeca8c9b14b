"""Brings the examples to their tests: scripts as modules, and each example as a copy that no running twin holds."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


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
