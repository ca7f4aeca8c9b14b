"""Where the trained models are, and whether they are as new as the scripts that make them.

Apart from train.py so that demo.py can ask without loading scikit-learn.
"""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
MODELS = HERE / "models"
NAMES = ("blue", "green", "violet")
SCRIPTS = ("train.py", "transactions.py")


def is_trained(folder: Path = MODELS) -> bool:
    """Whether all models are there and newer than the scripts."""
    newest = max((HERE / name).stat().st_mtime for name in SCRIPTS)
    files = [folder / f"{name}.onnx" for name in NAMES]
    return all(file.exists() and file.stat().st_mtime >= newest for file in files)


def write_whole(file: Path, content: bytes) -> None:
    """Replace the file at once: a twin that serves it never reads a half."""
    partial = file.with_suffix(".partial")
    partial.write_bytes(content)
    partial.replace(file)
