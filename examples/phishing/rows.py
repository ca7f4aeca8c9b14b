"""Brings the rows of UCI's "Website Phishing" data set: 1,250 real web sites, nine features each.

They come inside the package `river` (BSD-3-Clause), which carries them as a small file; the rows themselves are UCI's,
by Neda Abdelhamid, CC-BY-4.0. Only that package is fetched, without its dependencies, into a temporary folder; one
file is kept in .tools/ and its sha256 is checked every time.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

PACKAGE = "river==0.26.1"
INSIDE = "river/datasets/phishing.csv.gz"
SHA256 = "d8a6d44bd9672e852b8a53ad2c64229f81972158a77d981073a98b17c27af7a9"
TOOLS = Path(__file__).parents[2] / ".tools"


class NoRows(Exception):
    """The rows are not here and could not be brought, or are not the rows that were expected."""


def phishing_rows(folder: Path = TOOLS) -> tuple[list[str], np.ndarray, np.ndarray]:
    """The features' names, the features as they are in the file [1250, 9], and 1 where the site is phishing."""
    file = folder / "phishing.csv.gz"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        fetch(file)
    content = file.read_bytes()
    if (digest := hashlib.sha256(content).hexdigest()) != SHA256:
        raise NoRows(f"{file} has the sha256 {digest}, want {SHA256}: delete the file and try again")
    header, *lines = gzip.decompress(content).decode().splitlines()
    table = np.array([line.split(",") for line in lines], np.float32)
    return header.split(",")[:-1], table[:, :-1], table[:, -1].astype(np.int64)


def fetch(file: Path) -> None:
    """Install the package alone into a temporary folder and keep the one file."""
    with tempfile.TemporaryDirectory() as folder:
        command = [*installer(), "--no-deps", "--only-binary", ":all:", "--target", folder, PACKAGE]
        environment = {"UV_SYSTEM_CERTS": "1"} | dict(os.environ)
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            why = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
            raise NoRows(f"the package {PACKAGE}, which carries the rows, could not be downloaded: {why}")
        partial = file.with_suffix(".partial")
        shutil.copyfile(Path(folder, INSIDE), partial)
        partial.replace(file)


def installer() -> list[str]:
    """`uv` from the PATH or from where `make` puts it, else pip."""
    uv = shutil.which("uv") or shutil.which("uv", path=str(TOOLS / "bin"))
    if uv:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable]
    return [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
