"""Manifests for the tests that read them, and what is read from a folder of them."""

from __future__ import annotations

import argparse
import io
from pathlib import Path

from wye_operator.cli import validate
from wye_operator.local.manifests import read_manifests

ENDPOINT = """\
apiVersion: wye.dev/v1alpha1
kind: Endpoint
metadata: {name: fraud}
spec:
  traffic:
    blue: 90
    green: 10
"""


DEPLOYMENT = """\
apiVersion: wye.dev/v1alpha1
kind: Deployment
metadata: {name: fraud-blue}
spec:
  endpointName: fraud
  name: blue
  model: {uri: "file://model.onnx"}
"""


SECRET = """\
apiVersion: v1
kind: Secret
metadata: {name: fraud-keys}
"""


def written(folder: Path, **files: str | bytes) -> Path:
    """A folder with these files; `__` in a name stands for the dot."""
    for name, content in files.items():
        data = content.encode() if isinstance(content, str) else content
        (folder / name.replace("__", ".")).write_bytes(data)
    return folder


def mistakes(folder: Path, **files: str | bytes) -> list[tuple[int, str, str]]:
    """Line, field and message of every mistake in a folder with these files."""
    found = read_manifests(written(folder, **files)).mistakes
    return [(mistake.line, mistake.field, mistake.message) for mistake in found]


def validated(*paths: Path, output: str = "text") -> tuple[int, str]:
    """Exit status and output of `wye validate`."""
    out = io.StringIO()
    return validate.run(argparse.Namespace(paths=list(paths), output=output), out), out.getvalue()
