"""The commands of the examples' READMEs, run as they stand there, in a copy of the examples."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from examples.conftest import script
from wye_runtime.media import decodable

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh|json)\n(.*?)^```", re.MULTILINE | re.DOTALL)
UP = "wye local up "


def commands(readme: str) -> list[str]:
    """The lines of all shell blocks, without what is said about them."""
    blocks = [text for kind, text in BLOCK.findall(readme) if kind == "sh"]
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture
def checkout(fraud: Path, tmp_path: Path) -> Path:
    """A copy of the examples, without what running twins and training have left, but for the fraud models."""
    left = shutil.ignore_patterns(".wye", "__pycache__", "*.onnx")
    shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=left)
    shutil.copytree(fraud / "models", tmp_path / "examples/fraud/models", dirs_exist_ok=True)
    return tmp_path


def outputs(checkout: Path, example: str, shell: dict[str, str], local_up) -> list[str]:
    """Runs every command; what is served ends at the end."""
    said = []
    with ExitStack() as stack:
        for command in commands((checkout / f"examples/{example}/README.md").read_text()):
            if command.startswith(UP):
                stack.enter_context(local_up(checkout / command.removeprefix(UP)))
                continue
            done = subprocess.run(
                command, shell=True, cwd=checkout, env=shell, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
            said.append(done.stdout)
    return said


def test_quickstart(checkout: Path, shell: dict[str, str], local_up) -> None:
    said = outputs(checkout, "quickstart", shell, local_up)
    readme = (checkout / "examples/quickstart/README.md").read_text()
    shown = [json.loads(text) for kind, text in BLOCK.findall(readme) if kind == "json"]
    assert len(said) == 2
    assert json.loads(said[1]) == shown[0] == {"fahrenheit": [70.7, -40.0]}


def test_scoring_script(checkout: Path, shell: dict[str, str], local_up) -> None:
    said = outputs(checkout, "scoring-script", shell, local_up)
    readme = (checkout / "examples/scoring-script/README.md").read_text()
    [shown] = [json.loads(text) for kind, text in BLOCK.findall(readme) if kind == "json"]
    assert json.loads(said[-1]) == shown


def test_fraud(checkout: Path, shell: dict[str, str], local_up) -> None:
    said = outputs(checkout, "fraud", shell, local_up)
    assert len(said) == 5
    assert [json.loads(text)["decision"] for text in said[2:4]] == ["review", "review"]
    assert "blue=90 green=10" in said[4]


def test_phishing(checkout: Path, shell: dict[str, str], local_up, phishing_train) -> None:
    phishing_train.phishing_rows()
    (checkout / ".tools").mkdir()
    shutil.copyfile(ROOT / ".tools/phishing.csv.gz", checkout / ".tools/phishing.csv.gz")
    said = outputs(checkout, "phishing", shell, local_up)
    assert len(said) == 3
    answer = json.loads(said[2])
    assert (answer["verdict"], answer["risk"]) == ("phishing", "high")
    assert 0.7 <= answer["phishing_probability"] <= 1


def test_secure(checkout: Path, shell: dict[str, str], local_up) -> None:
    said = outputs(checkout, "secure", shell, local_up)
    assert json.loads(said[-1]) == {"fahrenheit": [70.7, -40.0]}
    mode = (checkout / "examples/secure/endpoint.yaml").read_text()
    assert "tls: {secretName: weather-tls}" in mode
    assert "@KEYS@" not in mode


def test_without_its_token_the_secure_example_answers_nobody(checkout: Path, shell: dict[str, str], local_up) -> None:
    readme = (checkout / "examples/secure/README.md").read_text()
    *first, invoke = [line for line in commands(readme) if not line.startswith(UP)]
    for command in first:
        subprocess.run(command, shell=True, cwd=checkout, env=shell, check=True)
    with local_up(checkout / "examples/secure") as up:
        assert up.url.startswith("https://")
        asked = invoke.partition(" --key ")[0] + " --key none"
        done = subprocess.run(asked, shell=True, cwd=checkout, env=shell, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "401" in done.stderr


def test_expose(checkout: Path, shell: dict[str, str], local_up) -> None:
    assert outputs(checkout, "expose", shell, local_up)


def test_detection(checkout: Path, shell: dict[str, str], local_up) -> None:
    outputs(checkout, "detection", shell, local_up)
    answer = json.loads((checkout / "answer.json").read_text())
    folder = checkout / "examples/detection"
    picture = np.frombuffer((folder / "scene.jpg").read_bytes(), np.uint8)
    session = script("detection", "train").session(folder / "models/detector.onnx")
    boxes, classes, confidence = session.run(None, {"image": decodable(picture)})
    kinds = ("circle", "square", "triangle")
    wanted = {"boxes": boxes, "classes": [kinds[each] for each in classes], "confidence": confidence}
    assert len(boxes) == 4
    assert {key: np.float32(value).tolist() for key, value in answer.items() if key != "classes"} == {
        key: wanted[key].tolist() for key in ("boxes", "confidence")
    }
    assert answer["classes"] == wanted["classes"]
    assert set(kinds) == set(answer["classes"])
    assert (checkout / "found.jpg").stat().st_size > 10_000


def test_embeddings(checkout: Path, shell: dict[str, str], local_up) -> None:
    [*_, said] = outputs(checkout, "embeddings", shell, local_up)
    search, passages = script("embeddings", "search"), script("embeddings", "passages").passages()
    assert len(json.loads(said)["embedding"]) == 96
    chosen = [each for each in passages if each.topic in ("import", "comparisons", "booleans", "for", "raise", "with")]
    shutil.rmtree(checkout / "examples/embeddings/.wye")  # what the twin that ended has left says Ready
    with local_up(checkout / "examples/embeddings") as up:
        asked = ["import a module from a package", "compare two objects for equality", "", "§"]
        *questions, empty, unknown = search.embedded(up.url, up.key, asked)
        known = search.embedded(up.url, up.key, [each.text for each in chosen])
        found = [search.nearest(each, known, chosen)[0][1].topic for each in questions]
    assert found == ["import", "comparisons"]
    assert np.allclose(np.linalg.norm(known, axis=1), 1, atol=1e-5)
    assert not empty.any()
    assert not unknown.any()


@pytest.mark.parametrize("example", ["quickstart", "fraud", "phishing", "expose", "detection", "embeddings"])
def test_the_manifests_are_valid_without_a_warning(example: str, shell: dict[str, str]) -> None:
    command = ["wye", "validate", f"examples/{example}", "--output", "json"]
    done = subprocess.run(command, cwd=ROOT, env=shell, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    verdict = json.loads(done.stdout)
    assert (verdict["valid"], verdict["mistakes"], verdict["warnings"]) == (True, [], [])
