"""Golden folders: all specs and the world in, all Envoy files, processes and conditions out. `make golden` rewrites."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from golden.case import folders, result_of, written
from render.whole import complaint


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
def test_the_plan_is_written_down_as_before(folder: Path, request: pytest.FixtureRequest) -> None:
    files, out = written((folder / "in.yaml").read_text()), folder / "out"
    if request.config.getoption("--rewrite"):
        shutil.rmtree(out, ignore_errors=True)
        for name, text in files.items():
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            (out / name).write_text(text)
    found = {str(path.relative_to(out)): path.read_text() for path in out.rglob("*.yaml")}
    assert files == found


@pytest.mark.parametrize("folder", folders(), ids=lambda folder: folder.name)
def test_envoy_finds_nothing_wrong(folder: Path, tmp_path: Path) -> None:
    router = result_of((folder / "in.yaml").read_text())[1].router
    assert router is None or complaint(router, tmp_path) == ""


def test_there_are_at_least_thirty_cases() -> None:
    assert len(folders()) >= 30
