"""`make bench` in a tiny setting: every line is measured, no request fails; the figures are not looked at."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).parents[1] / "bench"
SERVERS = ("fast lane, no model", "runtime, /score", "runtime, v2 infer", "without fast lane")
LINE = re.compile(r"^│ (\S.*?) +│ +(1|8|64) │ +([\d,]+) │", re.MULTILINE)


@pytest.fixture(scope="module")
def machine() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_machine", BENCH / "machine.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_line_is_measured() -> None:
    command = [sys.executable, str(BENCH / "run.py"), "--seconds", "1.9", "--rounds", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [(name, int(connections)) for name, connections, _ in LINE.findall(done.stdout)]
    assert lines == [
        ("session.run, bare", 1),
        *((name, count) for name in SERVERS for count in (1, 8, 64)),
        ("router, no mirror", 1),
        ("router, no mirror", 8),
        ("router, mirror 50 %", 1),
        ("router, mirror 50 %", 8),
        ("router, mirror 100 %", 1),
        ("router, mirror 100 %", 8),
    ]
    assert all(int(rate.replace(",", "")) > 0 for *_, rate in LINE.findall(done.stdout))


def test_processor_time_is_that_of_the_processes_that_name_the_folder(machine: ModuleType, tmp_path: Path) -> None:
    work = "import sys, time\nwhile time.process_time() < 0.2: pass\nprint('done', flush=True)\nsys.stdin.read()"
    command = [sys.executable, "-c", work, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None
        assert busy.stdout.readline() == b"done\n"
        assert list(machine.processes_of(tmp_path)) == [busy.pid]
        assert machine.cpu_seconds([busy.pid]) >= 0.19
        busy.communicate()
    assert machine.cpu_seconds([busy.pid]) == 0


@pytest.mark.parametrize(
    ("script", "left_out"), [("routers", "the routers are not measured"), ("limit", "the limit is not measured")]
)
def test_a_program_that_cannot_be_had_is_left_out_with_a_reason(script: str, left_out: str, tmp_path: Path) -> None:
    command = [sys.executable, str(BENCH / f"{script}.py")]
    nothing = {"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=nothing, check=False)
    said = f"{left_out}, there is no wrk: there is no wrk on the PATH, and this is no Debian"
    assert (done.returncode, said in done.stdout) == (0, True), done.stdout + done.stderr
