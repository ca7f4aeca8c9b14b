"""examples/detection in the cluster, as its page says: a JPEG through API server, router and the model's own graph."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from cluster.harness.places import CHECKOUT
from cluster.kube import PATIENCE, Namespace
from cluster.serving import Served

WYE = [sys.executable, "-m", "wye_operator.cli.main"]


def test_a_picture_is_answered_by_what_is_in_it(
    operator: str, namespace: Namespace, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    folder = shutil.copytree(CHECKOUT / "examples/detection", tmp_path / "detection")
    env = {**os.environ, **namespace.cluster.env}
    subprocess.run([sys.executable, folder / "train.py"], check=True, capture_output=True, env=env)
    began = time.monotonic()
    namespace.kubectl("apply", "--server-side", "-k", str(folder))
    Served(namespace, "detection").ready()
    figure(f"examples/detection: Ready {time.monotonic() - began:.1f} s after kubectl apply")

    def answered(file: str) -> subprocess.CompletedProcess[str]:
        command = [*WYE, "invoke", "detection", "-n", namespace.name, "-f", file]
        return subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env, timeout=PATIENCE)

    found = answered("scene.jpg")
    assert found.returncode == 0, found.stderr
    answer = json.loads(found.stdout)
    assert set(answer["classes"]) == {"circle", "square", "triangle"}
    assert len(answer["boxes"]) == len(answer["confidence"]) == 4
    whole = (folder / "scene.jpg").read_bytes()
    (folder / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    refused = answered("broken.jpg")
    assert refused.returncode == 1
    assert "422" in refused.stderr
    assert "photo: the JPEG is damaged or cut off" in json.loads(refused.stdout)["error"]["message"]
    pods = namespace.json("get", "pods", "-l", "wye.dev/component=model")["items"]
    assert [status["restartCount"] for pod in pods for status in pod["status"]["containerStatuses"]] == [0]
