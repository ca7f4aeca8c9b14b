"""The engine's library collects no usage data, and nothing is written below the home folder."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import toys


def test_serving_a_model_leaves_the_home_folder_empty(tmp_path: Path) -> None:
    model = toys.saved(toys.linear(3), tmp_path / "model.onnx")
    home = tmp_path / "home"
    home.mkdir()
    environment = {k: v for k, v in os.environ.items() if k not in ("ORT_DISABLE_TELEMETRY", "XDG_CACHE_HOME")}
    command = [sys.executable, "-B", "-m", "wye_runtime.cli", "inspect", str(model)]
    ended = subprocess.run(command, env={**environment, "HOME": str(home)}, capture_output=True, text=True, timeout=30)
    assert ended.returncode == 0, ended.stderr
    assert list(home.rglob("*")) == []
