"""The chart as helm renders it. What needs helm or kubectl runs where they are, and in `make e2e` (WYE_E2E=1)."""

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "wye-cluster"


def program(name: str, folder: str) -> str:
    """A program of this machine, or one that the cluster's harness has built."""
    built = sorted(CACHE.glob(f"{folder}-*/{name}"))
    found = os.environ.get(name.upper()) or shutil.which(name) or (str(built[-1]) if built else None)
    if found is None and not os.environ.get("WYE_E2E"):
        pytest.skip(f"no {name} here: make e2e builds one")
    assert found, f"no {name} on the PATH, in ${name.upper()} or in {CACHE}"
    return found


def parsed(text: str) -> list[dict]:
    """By libyaml: the definitions alone are 100 kB."""
    return [each for each in yaml.load_all(text, yaml.CSafeLoader) if each]


class Helm:
    """helm template, without a cluster; what was rendered once is not rendered again."""

    def __init__(self, path: str):
        self.path = path
        self.template = cache(self._template)

    def _template(self, *arguments: str, release: str = "wye", namespace: str = "wye-system") -> str:
        command = [self.path, "template", release, str(ROOT / "charts/wye"), "-n", namespace, *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise ValueError(done.stderr)
        return done.stdout

    def objects(self, *arguments: str, **where: str) -> list[dict]:
        return parsed(self.template(*arguments, **where))


@pytest.fixture(scope="session")
def helm() -> Helm:
    return Helm(program("helm", "helm"))


@pytest.fixture(scope="session")
def kustomize():
    """`kubectl kustomize`: objects of a folder."""
    path = program("kubectl", "kubernetes")

    def build(folder: Path) -> list[dict]:
        done = subprocess.run([path, "kustomize", str(folder)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return parsed(done.stdout)

    return build
