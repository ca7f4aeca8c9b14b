"""The tutorial, as it stands: every command of docs/guides/first-endpoint.md after the installation is run."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

from cluster.harness.places import CHECKOUT
from cluster.kube import PATIENCE, Namespace
from ports import free_port

PAGE = CHECKOUT / "docs/guides/first-endpoint.md"
BLOCK = re.compile(r"^```console\n(.*?)^```", re.MULTILINE | re.DOTALL)
BEFORE = "## 3. Three models"  # the operator is there, and the namespace is the test's own
TRAINING, TUNNEL = "make demo ONCE=1", "8088"  # a test takes no port that another program may have
BEGIN = "set -euo pipefail -m; trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"


def script() -> str:
    """The commands, each told as it begins."""
    text = PAGE.read_text().partition(BEFORE)[2]
    lines = [line for block in BLOCK.findall(text) for line in block.splitlines()]
    plain = "\n".join(re.sub(r"^[$>] ", "", line) for line in lines)
    plain = re.sub(r"--timeout=\d+s", f"--timeout={PATIENCE}s", plain)
    plain = plain.replace(TUNNEL, str(free_port()))
    return f"{BEGIN}\n{plain.replace(TRAINING, f'{TRAINING} PORT=0 >&2')}\n"


def test_every_command_of_the_tutorial_works(operator: str, namespace: Namespace, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(Path(namespace.cluster.env["KUBECONFIG"]).read_text())
    env = {**os.environ, **namespace.cluster.env, "KUBECONFIG": str(config)}
    subprocess.run(
        ["kubectl", "config", "set-context", "--current", f"--namespace={namespace.name}"], env=env, check=True
    )
    done = subprocess.run(["bash", "-c", script()], cwd=CHECKOUT, env=env, capture_output=True, text=True, timeout=1500)
    print(done.stdout, done.stderr[-6000:])
    assert done.returncode == 0
    assert '"decision"' in done.stdout
    counts = dict(reversed(pair) for pair in re.findall(r"\s(\d+) (blue|green)$", done.stdout, re.MULTILINE))
    assert counts.keys() == {"blue", "green"}
    assert 75 <= int(counts["blue"]) <= 99
    assert "adds up to 90; it must be 100, or 0 for no live traffic" in done.stderr
    assert "mirror 50   configmap://fraud-models/violet.onnx" in done.stdout
