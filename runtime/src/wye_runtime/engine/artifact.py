"""Which bytes are the model: a file, or a folder with one; their digest and size. Called by whoever loads one."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wye_runtime.engine import mlmodel
from wye_runtime.errors import ModelDigestMismatch, ModelFetch, ModelInvalid
from wye_runtime.settings import ModelSource

SHOWN = 5  # names of files in a message


@dataclass(frozen=True, slots=True)
class Artifact:
    """The bytes to serve: the ONNX file, and what they are all together."""

    file: Path
    sha256: str
    size: int
    called: str
    columns: tuple[str, ...] = ()  # of its only input, where it comes in a package that names them


def artifact_at(source: ModelSource) -> Artifact:
    """Finds and checks the bytes; the digest of a folder is that of its `sha256sum` list."""
    path = Path(source.path)
    try:
        files = sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        digest = digest_of(files, path)
        size = sum(each.stat().st_size for each in files)
    except OSError as error:
        raise ModelFetch(f"{source.uri or path} cannot be read: {error.strerror}") from error
    if source.sha256 and source.sha256 != digest:
        raise ModelDigestMismatch(f"{source.called} has the sha256 {digest}, model.sha256 wants {source.sha256}")
    file = onnx_file(path, files, source.called)
    columns = mlmodel.columns_of(mlmodel.text_of(path, source.called)) if mlmodel.is_packaged(path) else ()
    return Artifact(file, digest, size, source.called, columns)


def digest_of(files: Sequence[Path], root: Path) -> str:
    """The sha256 of one file, or of the `sha256sum` list of several."""
    if len(files) == 1:
        return file_digest(files[0])
    lines = sorted((str(each.relative_to(root)), file_digest(each)) for each in files)
    return hashlib.sha256("".join(f"{d}  {n}\n" for n, d in lines).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def onnx_file(path: Path, files: Sequence[Path], called: str) -> Path:
    """The model of a folder: what MLflow says, else model.onnx, else the only *.onnx in it."""
    if not path.is_dir():
        return path
    if mlmodel.is_packaged(path):
        return mlmodel.data_of(path, called)
    found = [each for each in files if each.suffix == ".onnx" and each.parent == path]
    named = [each for each in found if each.name == "model.onnx"]
    if len(named or found) == 1:
        return (named or found)[0]
    raise ModelInvalid(f"{called} {what_is_in(path, files, [each.name for each in found])}")


def what_is_in(path: Path, files: Sequence[Path], found: Sequence[str]) -> str:
    """Why a folder is no model, and what to write instead."""
    wanted = "want model.onnx, or exactly one *.onnx"
    names = sorted(str(each.relative_to(path)) for each in files)
    below = [name for name in names if name.endswith(".onnx")]
    if found:
        return f"holds {', '.join(found)}; {wanted}"
    if below:
        return f"holds no *.onnx but below it {', '.join(below[:SHOWN])}: let model.uri name that folder, or that file"
    if not names:
        return f"is an empty folder; {wanted}"
    return f"holds no *.onnx ({', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}); {wanted}"
