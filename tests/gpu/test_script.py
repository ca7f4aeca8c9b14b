"""`tests/gpu/run.sh` where there is no GPU: what it says, and that it works (--dry)."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import toys
from gpu import bare, check, places, wheels

SCRIPT = Path(__file__).with_name("run.sh")


def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHON": sys.executable, **more}
    return subprocess.run([SCRIPT, *words], capture_output=True, text=True, env=environment, timeout=570)


def test_it_runs_dry_from_its_beginning_to_its_end(tmp_path: Path) -> None:
    done = run("--dry", "--only", "tensorrt,encoder", "--seconds", "0.01", "--json", str(tmp_path / "figures"))
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "figures").read_text())
    assert list(told["checks"].values()) == [True]
    assert [set(row) for row in told["rows"]] == [{"model", "batch", *places.DRY.columns}]
    lines = done.stdout.splitlines()
    assert lines[1].startswith("ok, dry  TensorRT without its libraries: exit code 3, InvalidDeploymentSpec")
    assert all("It proves this script, and nothing of a GPU" in line for line in (lines[0], lines[-1]))


@pytest.mark.parametrize(("only", "count"), [("providers", 4), ("refusals", 6), ("graphs", 1)])
def test_each_check_runs_dry(only: str, count: int, tmp_path: Path) -> None:
    said = list(check.checked(places.DRY, tmp_path, only))
    assert [holds for _, holds in said] == [True] * count, said


@pytest.mark.parametrize("name", places.MINIATURES)
def test_each_model_answers_the_same_in_every_way(name: str, tmp_path: Path) -> None:
    file = toys.saved(places.MINIATURES[name][0](), tmp_path / "model.onnx")
    session = bare.session(file, places.CPU)
    x = check.inputs(session, 2)
    figures = check.figures(places.DRY, file, {places.CPU: session}, x, bare.plain(session, x)(), 0.0)
    assert figures["off by"] == 0


@pytest.mark.skipif(Path("/proc/driver/nvidia").exists(), reason="this machine has a GPU")
def test_without_a_gpu_it_says_so_and_installs_nothing() -> None:
    done = run()
    assert (done.returncode, done.stdout) == (2, "")
    assert "no NVIDIA driver here (libcuda.so.1): run it on a machine with an NVIDIA GPU, or with --dry" in done.stderr


class Driver:
    """`libcuda.so.1` of a machine that has this many GPUs."""

    def __init__(self, code: int = 0, count: int = 0) -> None:
        self.code, self.count = code, count

    def cuInit(self, _: int) -> int:
        return self.code

    def cuDeviceGetCount(self, count) -> int:
        count._obj.value = self.count
        return 0


def test_a_gpu_that_is_hidden_is_told_from_none(monkeypatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "answers with error 100 (CUDA_VISIBLE_DEVICES is ''): run it on" in wheels.why_no_gpu(lambda _: Driver(100))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    assert "driver sees no GPU: run it on" in wheels.why_no_gpu(lambda _: Driver())
    assert wheels.why_no_gpu(lambda _: Driver(count=1)) == ""


def test_a_check_that_breaks_keeps_no_other_from_being_seen(tmp_path: Path, monkeypatch, capsys) -> None:
    def broken(*_: object):
        yield "first", True
        raise OSError("no room")

    def fine(*_: object):
        yield "fine", True

    monkeypatch.setattr(check, "CHECKS", (broken, fine))
    said = list(check.checked(places.DRY, tmp_path))
    assert [holds for _, holds in said] == [True, False, True]
    assert "FAIL, dry  broken: OSError: no room" in capsys.readouterr().out


def test_a_model_that_breaks_is_a_row_that_says_why(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(check, "rows_of", lambda *_: 1 / 0)
    rows = list(check.measured(places.DRY, tmp_path, 0.0))
    assert [row["why"] for row in rows] == ["ZeroDivisionError: division by zero"] * len(places.MINIATURES)


def test_wheels_travel_in_pieces_and_come_together_again(tmp_path: Path, monkeypatch) -> None:
    wheel = tmp_path / "some-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("some.py", "x = 1\n" * 500)
    content = wheel.read_bytes()
    told = {wheel.name: wheels.cut(wheel, 1000)}
    (tmp_path / wheels.LIST).write_text(json.dumps(told))
    assert len(told[wheel.name]) == -(-len(content) // 1000)
    assert not wheel.exists()
    first = next(iter(told[wheel.name]))
    (tmp_path / first).rename(tmp_path / "away")
    assert list(wheels.missing_in(tmp_path)) == [first]
    (tmp_path / "away").rename(tmp_path / first)
    (tmp_path / "joined").mkdir()
    monkeypatch.setattr(wheels, "HERE", tmp_path / "joined")
    assert [path.read_bytes() for path in wheels.joined(tmp_path)] == [content]


def test_what_is_brought_is_what_the_locks_say() -> None:
    whole, lean = wheels.entries(wheels.lock(lean=False)), wheels.entries(wheels.lock(lean=True))
    assert {"onnxruntime-gpu", "onnx", "nvidia-cudnn-cu13"} <= set(whole)
    assert "onnxruntime" not in whole
    assert {name for name in whole if name not in lean} == {name for name in whole if name.startswith("nvidia-")}
    assert all("--hash=sha256:" in entry for entry in whole.values())


@pytest.mark.parametrize(
    ("folder", "said"),
    [
        ("nowhere", r"the wheels cannot be installed: .*No such file or directory: '.*/nowhere/lock.txt'"),
        ("cut", "lacks a.whl.01"),
    ],
)
def test_a_folder_of_wheels_that_is_not_whole(folder: str, said: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(wheels, "why_no_gpu", lambda: "")
    monkeypatch.setattr(wheels, "has_everything", lambda: False)
    monkeypatch.setattr(wheels, "HERE", tmp_path / "here")
    monkeypatch.setattr(sys, "argv", ["run.sh", "--wheels", str(tmp_path / folder)])
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut/lock.txt").write_text("a==1\n")
    (tmp_path / "cut" / wheels.LIST).write_text(json.dumps({"a.whl": {"a.whl.01": "00"}}))
    assert wheels.main() == 2
    assert re.search(said, capsys.readouterr().err)
