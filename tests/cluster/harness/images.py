"""Images without a daemon or a registry: one layer of given files, in an archive as `docker save` writes it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Mapping
from pathlib import Path

from .golang import MACHINES


def write_archive(archive: Path, name: str, files: Mapping[str, Path], config: Mapping[str, object]) -> None:
    """Write the image NAME whose root file system is the given files, all of them executable."""
    layer = _layer(files)
    digest = hashlib.sha256(layer).hexdigest()
    body = json.dumps(
        {
            "architecture": MACHINES[os.uname().machine],
            "os": "linux",
            "created": "2026-01-01T00:00:00Z",
            "config": dict(config),
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
            "history": [{"created_by": "wye's test harness"}],
        }
    ).encode()
    config_name = f"{hashlib.sha256(body).hexdigest()}.json"
    manifest = [{"Config": config_name, "RepoTags": [name], "Layers": [f"{digest}/layer.tar"]}]
    parts = {config_name: body, "manifest.json": json.dumps(manifest).encode(), f"{digest}/layer.tar": layer}
    archive.write_bytes(_tar(parts, mode=0o644))


def _layer(files: Mapping[str, Path]) -> bytes:
    return _tar({name: path.read_bytes() for name, path in files.items()}, mode=0o755)


def _tar(files: Mapping[str, bytes], *, mode: int) -> bytes:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), mode
            tar.addfile(entry, io.BytesIO(data))
    return held.getvalue()
